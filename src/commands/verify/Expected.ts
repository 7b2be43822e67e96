/** What the journals say about an object. */
export interface Expected {
  readonly key: string
  readonly archive_id: string
  readonly server: string
  /** 1 for rows, 0 for the journal. */
  readonly is_rows: number
  readonly verified: number
  readonly rows: number | null
  readonly size: number | null
  readonly sha256: string | null
}
