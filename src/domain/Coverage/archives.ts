import { HashMap, Option } from "effect"
import { type ArchiveUnderWay, type Coverage, isEndless, type StreamCoverage } from "./state.ts"

/**
 * Ends an archive. Its rows count as archived once no older archive of its stream is under way: only for the oldest messages do
 * the counts tell when they were received.
 */
export const endArchive = (
  state: Coverage,
  archiveId: string,
  end: NonNullable<ArchiveUnderWay["end"]>
): Coverage =>
  Option.match(HashMap.get(state.archives, archiveId), {
    onNone: () => state,
    onSome: (ended) => {
      const { stream } = ended
      const ofStream = Array.from(HashMap.set(state.archives, archiveId, { ...ended, end }))
        .filter(([, archive]) => archive.stream === stream)
        .sort(([, a], [, b]) => a.firstId - b.firstId)
      // With entries missing it is unknown which archives are under way and how many of the messages are archived.
      const isKnown = !Option.exists(HashMap.get(state.streams, stream), isEndless)
      const open = isKnown ? ofStream.findIndex(([, archive]) => archive.end !== "purged") : -1
      const done =
        open < 0 ? ofStream.filter(([, archive]) => archive.end === "purged") : ofStream.slice(0, open)
      const rows = done.reduce((sum, [, archive]) => sum + archive.rows, 0)
      return {
        ...state,
        archives: HashMap.mutate(state.archives, (archives) => {
          HashMap.set(archives, archiveId, { ...ended, end })
          for (const [id] of done) HashMap.remove(archives, id)
          let before: readonly [string, ArchiveUnderWay] | undefined
          // Consecutive ones need not be tracked individually.
          for (const [id, archive] of open < 0 ? [] : ofStream.slice(open)) {
            if (before?.[1].end === "purged" && archive.end === "purged") {
              before = [before[0], { ...before[1], rows: before[1].rows + archive.rows }]
              HashMap.set(archives, ...before)
              HashMap.remove(archives, id)
            } else before = [id, archive]
          }
        }),
        streams:
          rows > 0 && isKnown
            ? HashMap.modify(state.streams, stream, (coverage) => countAsArchived(coverage, rows))
            : state.streams
      }
    }
  })

/** Counts rows of the stream, the oldest ones, as contained in a finished archive. */
export const countAsArchived = (coverage: StreamCoverage, rows: number): StreamCoverage => {
  let left = rows
  const unarchived = coverage.unarchived.flatMap(({ from, messages }) => {
    const taken = Math.min(left, messages)
    left -= taken
    return messages > taken ? [{ from, messages: messages - taken }] : []
  })
  return { ...coverage, unarchived, uncounted: coverage.uncounted + left }
}
