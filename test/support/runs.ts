/** How often a property is tried: PROPERTY_RUNS=10 tries each ten times as often as usual. */
export const runs = (usual: number): number => Math.ceil(usual * Number(process.env.PROPERTY_RUNS ?? 1))
