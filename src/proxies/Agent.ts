import * as Http from "node:http"
import * as Https from "node:https"
import { isIPv6 } from "node:net"
import { Agent, type AgentConnectOpts } from "agent-base"
import { HttpProxyAgent } from "http-proxy-agent"
import { HttpsProxyAgent } from "https-proxy-agent"
import { SocksProxyAgent } from "socks-proxy-agent"
import { proxyFor } from "./environment.ts"

/** Connects through the proxy that the environment names for the host, or directly. */
export class EnvironmentAgent extends Agent {
  private readonly agents = new Map<string, Http.Agent>()
  private readonly given: Https.AgentOptions

  constructor(options: Https.AgentOptions) {
    super(options)
    this.given = options
  }

  override connect(request: Http.ClientRequest, { host = "", port, secureEndpoint }: AgentConnectOpts) {
    const scheme = secureEndpoint ? "https" : "http"
    const proxy = proxyFor(new URL(`${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`))
    // An upgrade is not a request with an answer, so it goes through a tunnel, as encrypted connections do.
    const tunnel = secureEndpoint || request.getHeader("upgrade") !== undefined
    const key = `${scheme} ${tunnel} ${proxy?.href ?? ""}`
    const agent = this.agents.get(key) ?? this.agentFor(proxy, { secure: secureEndpoint, tunnel })
    this.agents.set(key, agent)
    return agent
  }

  override destroy() {
    for (const agent of this.agents.values()) agent.destroy()
    super.destroy()
  }

  private agentFor(
    proxy: URL | undefined,
    { secure, tunnel }: { readonly secure: boolean; readonly tunnel: boolean }
  ): Http.Agent {
    if (proxy === undefined) return secure ? new Https.Agent(this.given) : new Http.Agent(this.given)
    if (proxy.protocol.startsWith("socks")) return new SocksProxyAgent(proxy, this.given)
    if (tunnel) return new HttpsProxyAgent(proxy, this.given)
    // It rewrites a request whose headers are already made only when it connects: a kept connection would get it unchanged.
    return new HttpProxyAgent(proxy, { ...this.given, keepAlive: false })
  }
}
