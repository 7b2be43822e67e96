declare module "parse-prometheus-text-format" {
  export interface ParsedMetric {
    readonly labels?: Readonly<Record<string, string>>
    readonly value?: string
    readonly buckets?: Readonly<Record<string, string>>
    readonly count?: string
    readonly sum?: string
  }
  export interface ParsedFamily {
    readonly name: string
    readonly help: string
    readonly type: string
    readonly metrics: ReadonlyArray<ParsedMetric>
  }
  export default function parse(text: string): ReadonlyArray<ParsedFamily>
}
