import { Data } from "effect"

/** A command line that cannot be understood; the user has already been told. */
export class CommandLineRefused extends Data.TaggedError("CommandLineRefused") {}
