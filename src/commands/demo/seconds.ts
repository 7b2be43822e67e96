/** How long the demo records. */
export const seconds = 15
