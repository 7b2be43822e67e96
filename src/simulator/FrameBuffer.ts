import type { Duplex } from "node:stream"

/**
 * Writes unmasked WebSocket text or binary frames (RFC 6455, section 5.2) to a socket, many per system call. A library that
 * sends one frame at a time cannot reach a hundred thousand frames a second. It is safe to use alongside such a library as long
 * as both write whole frames and nothing is compressed.
 */
export interface FrameBuffer {
  /** Adds a frame made of `before`, the first `length` bytes of `body`, and `after`. */
  readonly append: (before: Uint8Array, body: Buffer, length: number, after: Uint8Array) => void
  /** Writes the added frames to the socket. */
  readonly flush: () => void
  /** Drops the frames added since the last flush. */
  readonly clear: () => void
  /** How many bytes the operating system has not taken yet. */
  readonly backlog: () => number
}

/** Makes a buffer for a socket. Calls `onWritten` whenever the operating system has taken a chunk. */
export const makeFrameBuffer = (socket: Duplex, onWritten: () => void, binary = false): FrameBuffer => {
  const first = binary ? finalBinaryFrame : finalTextFrame
  const spare: Array<Buffer> = []
  let chunk: Buffer = Buffer.alloc(0)
  let used = 0

  const flush = (): void => {
    if (used === 0) return
    const full = chunk
    socket.write(full.subarray(0, used), () => {
      if (spare.length < maxSpare && full.length === chunkBytes) spare.push(full)
      onWritten()
    })
    chunk = Buffer.alloc(0)
    used = 0
  }

  return {
    append: (before, body, length, after) => {
      const payload = before.length + length + after.length
      const needed = payload + maxHeaderBytes
      if (used + needed > chunk.length) {
        flush()
        chunk =
          needed > chunkBytes
            ? Buffer.allocUnsafe(needed)
            : (spare.pop() ?? Buffer.allocUnsafeSlow(chunkBytes))
      }
      used = writeHeader(chunk, used, first, payload)
      if (before.length > 0) chunk.set(before, used)
      used += before.length
      used += body.copy(chunk, used, 0, length)
      if (after.length > 0) chunk.set(after, used)
      used += after.length
    },
    flush,
    clear: () => {
      used = 0
    },
    backlog: () => socket.writableLength + used
  }
}

const chunkBytes = 64 * 1024
const maxSpare = 32
const maxHeaderBytes = 10
const finalTextFrame = 0x81
const finalBinaryFrame = 0x82

const writeHeader = (chunk: Buffer, at: number, first: number, payload: number): number => {
  chunk[at] = first
  if (payload < 126) {
    chunk[at + 1] = payload
    return at + 2
  }
  if (payload < 65_536) {
    chunk[at + 1] = 126
    return chunk.writeUInt16BE(payload, at + 2)
  }
  chunk[at + 1] = 127
  chunk.writeUInt32BE(0, at + 2)
  return chunk.writeUInt32BE(payload, at + 6)
}
