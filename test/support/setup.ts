import "./bytes.ts"
import { setImmediate } from "node:timers/promises"
import { afterEach } from "vitest"
import { measureAgain } from "./pace.ts"

/* Runs before each test file; what it imports is loaded once in each process. */

measureAgain()

// Vitest gives up a file that keeps its process from reading answers for a minute, as tests do that wait for nothing.
afterEach(() => setImmediate())
