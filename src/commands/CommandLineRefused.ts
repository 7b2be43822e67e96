import { Data } from "effect"

/** A command line that cannot be understood, as its user was told. */
export class CommandLineRefused extends Data.TaggedError("CommandLineRefused") {}
