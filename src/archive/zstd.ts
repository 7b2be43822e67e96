import * as zlib from "node:zlib"
import { Effect } from "effect"
import { ResourceUnavailable } from "../domain/StartupError.ts"

/** zstd of whole buffers, on the calling thread. */
export interface Zstd {
  readonly compress: (bytes: Uint8Array) => Uint8Array
  /** `length` is the size of the output, bytes. */
  readonly decompress: (bytes: Uint8Array, length: number) => Uint8Array
}

/** Node's own zstd if it has one, from 22.15 on, and a native package otherwise. Fails if that cannot be loaded. */
export const loadZstd: Effect.Effect<Zstd, ResourceUnavailable> = Effect.suspend(() => {
  const { zstdCompressSync, zstdDecompressSync } = zlib
  return zstdCompressSync === undefined || zstdDecompressSync === undefined
    ? native
    : Effect.succeed<Zstd>({
        // In one piece: Node's 16 kB chunks cost a third more.
        compress: (bytes) =>
          zstdCompressSync(bytes, {
            params: { [zlib.constants.ZSTD_c_compressionLevel]: level },
            chunkSize: longestOutput(bytes.length),
            pledgedSrcSize: bytes.length
          }),
        decompress: (bytes, length) => zstdDecompressSync(bytes, { chunkSize: Math.max(64, length) })
      })
})

/** Level 1 compresses order books nearly as well as the default level 3, in two thirds of the time. */
const level = 1

/** The value of `ZSTD_COMPRESSBOUND` in zstd.h, or a little more. */
const longestOutput = (length: number): number => length + (length >> 8) + 128

const native: Effect.Effect<Zstd, ResourceUnavailable> = Effect.map(
  Effect.tryPromise({
    try: () => import("zstd-napi"),
    catch: () =>
      new ResourceUnavailable({
        reason: `Node ${process.versions.node} has no zstd, and the package zstd-napi cannot be loaded: use Node 22.15 or later, or reinstall it with a C++ compiler`
      })
  }),
  ({ compress, decompress }) => ({
    compress: (bytes) => compress(bytes, { compressionLevel: level }),
    decompress: (bytes) => decompress(bytes)
  })
)
