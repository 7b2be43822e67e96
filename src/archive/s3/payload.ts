import { Predicate } from "effect"

/** Where middleware that sees the request before it is signed is added. */
interface Command {
  readonly middlewareStack: {
    readonly add: (
      middleware: <A extends object, B>(next: (args: A) => Promise<B>) => (args: A) => Promise<B>,
      options: { readonly step: "build"; readonly name: string; readonly override: boolean }
    ) => void
  }
}

/**
 * Signs the command for a body with this SHA-256, lower-case hex: every server that checks signatures then refuses any other
 * body. By default the SDK leaves the body of a stream out of the signature.
 */
export const signBody = <A extends Command>(command: A, sha256: string): A => {
  command.middlewareStack.add(
    (next) => (args) => {
      if (
        Predicate.hasProperty(args, "request") &&
        Predicate.hasProperty(args.request, "headers") &&
        Predicate.isRecord(args.request.headers)
      ) {
        args.request.headers["x-amz-content-sha256"] = sha256
      }
      return next(args)
    },
    { step: "build", name: "signBody", override: true }
  )
  return command
}
