import { BlockList, isIP, isIPv6 } from "node:net"

/** The environment variables that configure proxies; lower-case names take precedence. */
export type ProxyVariables = Readonly<Record<string, string | undefined>>

/**
 * The proxy for a connection to a URL; undefined for a direct one. HTTPS_PROXY applies to `https` and `wss`, HTTP_PROXY to `http`
 * and `ws`, ALL_PROXY if the specific one is not set. NO_PROXY names hosts (including all their subdomains), addresses and
 * networks (`10.0.0.0/8`) to connect to directly, each optionally with a port; `*` stands for all.
 */
export const proxyFor = (url: URL, variables: ProxyVariables = process.env): URL | undefined => {
  const own = url.protocol === "https:" || url.protocol === "wss:" ? "https_proxy" : "http_proxy"
  const text = textOf(variables, own) || textOf(variables, "all_proxy")
  return text === "" || isDirect(url, textOf(variables, "no_proxy")) ? undefined : parse(text)
}

/** Problems of the variables that name proxies, one line each, without their values, which can contain passwords. */
export const proxyProblems = (variables: ProxyVariables = process.env): ReadonlyArray<string> =>
  proxyNames.flatMap((name) => {
    const text = textOf(variables, name)
    return text === "" || parse(text) !== undefined
      ? []
      : [
          `${name.toUpperCase()} must be the URL of a proxy, as http://127.0.0.1:3128 or socks5://127.0.0.1:1080`
        ]
  })

const proxyNames = ["https_proxy", "http_proxy", "all_proxy"]

const textOf = (variables: ProxyVariables, name: string): string =>
  (variables[name] || variables[name.toUpperCase()] || "").trim()

/** Parses the URL of a proxy. Without a scheme it is an HTTP proxy. */
const parse = (text: string): URL | undefined => {
  const whole = text.includes("://") ? text : `http://${text}`
  const url = URL.canParse(whole) ? new URL(whole) : undefined
  return url !== undefined && schemes.has(url.protocol) && url.hostname !== "" ? url : undefined
}

const schemes = new Set(["http:", "https:", "socks:", "socks4:", "socks4a:", "socks5:", "socks5h:"])

const isDirect = (url: URL, noProxy: string): boolean => {
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase()
  const port = url.port || (/^(https|wss):$/.test(url.protocol) ? "443" : "80")
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .some((entry) => {
      if (entry === "*") return true
      const [, network = "", bits = ""] = /^([\da-f.:]+)\/(\d+)$/.exec(entry) ?? []
      if (network !== "") return isWithin(host, network, Number(bits))
      const [, named = entry, ofPort] = /^(\[[^\]]+\]|[^:]+):(\d+)$/.exec(entry) ?? []
      const bare = named.replace(/^\*?\.|^\[|\]$/g, "")
      return (ofPort === undefined || ofPort === port) && (host === bare || host.endsWith(`.${bare}`))
    })
}

const isWithin = (host: string, network: string, bits: number): boolean => {
  const family = isIPv6(network) ? "ipv6" : "ipv4"
  if (isIP(network) === 0 || isIP(host) !== isIP(network) || bits > (family === "ipv6" ? 128 : 32))
    return false
  const list = new BlockList()
  list.addSubnet(network, bits, family)
  return list.check(host, family)
}

/** Whether the environment names a proxy. */
export const isAnyProxyNamed = (variables: ProxyVariables = process.env): boolean =>
  proxyNames.some((name) => textOf(variables, name) !== "")
