/** How much may wait while the slots hand over, where a site says nothing else. Without an import: the guest's programs load it as it is. */
export const parkingDefaults = { calls: 200, mebibytes: 64, seconds: 240 } as const
