"""History of a detector: entries about each change, and the way back to earlier states.

entry      one line of the history: who changed what, when and why; a chain of hashes
state      all that a detector has learned, as the file holds it, without the history
delta      an earlier state, coded against the one after it (`rows`, `json_delta`)
chain      the entries and the deltas of a detector; what can still be restored
file       the same in a detector file, checked when it is opened
recording  changes of a detector that add an entry: `recorded`, `undone`
"""
