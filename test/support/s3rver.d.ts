declare module "s3rver" {
  import type { Readable } from "node:stream"

  export interface StoredObject {
    readonly bucket: string
    readonly key: string
    readonly content: Buffer | Readable
    readonly metadata: unknown
  }

  export default class S3rver {
    constructor(options: {
      readonly address: string
      readonly port: number
      readonly directory: string
      readonly silent: boolean
      readonly resetOnClose?: boolean
    })
    readonly store: {
      putObject: (object: StoredObject) => Promise<{ readonly size: number; readonly md5: string }>
      readonly putMetadata: (bucket: string, key: string, metadata: unknown, md5: string) => Promise<void>
      readonly getResourcePath: (bucket: string, key: string, resource: string) => string
    }
    run(): Promise<{ readonly address: string; readonly port: number }>
    close(): Promise<void>
  }
}
