/** How long the demo records. */
export const demoSeconds = 15
