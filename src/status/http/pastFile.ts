/** Beside the database, what the status page knows of the last days: who starts again need not read the journal again. */
export const pastFile = (databasePath: string): string => `${databasePath}-history`

/** The same while it is being written. */
export const unfinishedPastFile = (databasePath: string): string => `${pastFile(databasePath)}.new`
