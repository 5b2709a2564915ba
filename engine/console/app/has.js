// What the engine's contract has of what pages would ask for. A request with a field that it does not know is refused.
export const has = { calls: false, historyBack: false, legStates: false, largest: false, exposures: false };
