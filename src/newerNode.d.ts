/** Declares what only newer versions of Node have: the types are those of the oldest version that works. */

declare module "zlib" {
  interface ZstdSyncOptions {
    readonly chunkSize?: number
    readonly params?: Readonly<Record<number, number>>
    readonly pledgedSrcSize?: number
  }
  /** Node 22.15 and later. */
  export const zstdCompressSync: ((bytes: Uint8Array, options?: ZstdSyncOptions) => Uint8Array) | undefined
  /** Node 22.15 and later. */
  export const zstdDecompressSync: ((bytes: Uint8Array, options?: ZstdSyncOptions) => Uint8Array) | undefined
  export namespace constants {
    const ZSTD_c_compressionLevel: number
  }
}

declare module "module" {
  namespace Module {
    /** Node 22.1 and later. */
    const enableCompileCache: ((directory?: string) => unknown) | undefined
  }
}
