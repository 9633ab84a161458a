"""JSON of NumaPins in a tenth of its size, for there may be 100,000 of them. Pure.

Deflate with a dictionary of what such JSON is mostly made of: without one, objects so small
hardly shrink. The dictionary is no format: what is packed never leaves the process.
"""

import zlib
from typing import Final

_WINDOW: Final = -12
"""Raw deflate of 4 KiB, which holds the dictionary and most pins; a larger window takes longer
to set up than a pin takes to pack."""
_MEMORY: Final = 5
# Most frequent last: deflate prefers what is near.
_WORDS: Final = (
    b'"message":"the pod runs already: the agent is to say first where its memory is and how m'
    b'uch"},{"type":"Verified","status":"False","reason":"Ineffective","Unplaceable","NoRoom",'
    b'"NoSignal","Drifted","Conflict","Observing","phase":"Waiting","Moving","Refused","proble'
    b'm":"counters":{"since":"2026-11-25T17:00:00Z","seconds":60.0,"migratedPages":0,"crossSoc'
    b'ketMigratedPages":0,"migrationNanoseconds":0,"hintFaultPagesLocal":0,"hintFaultPagesRemo'
    b'te":0,"crossSocketTaskMigrations":0,"movedByPinPages":0,"cpuNanoseconds":0},"baseline":{'
    b'"since""windows":1,"threads":4,"memory":[{"node":0,"bytes":419430400},{"node":1,"bytes":'
    b'0}],"containers":[{"name":"main","cpus":"0-63","mems":"0"}],"effective":{"cpus":"64-127"'
    b',"mems":"1"},"applied":{"cpus":"0-63","mems":"0","time":"2026-11-25T17:00:00Z"},"observe'
    b'd":{"generation":1,"phase":"Pinned","verdict":"Verified","evidence":"Measured","localPer'
    b'cent":100.0,"crossSocketPagesPerSecond":0.0,"conditions":[{"type":"Pinned","status":"Tru'
    b'e","reason":"Pinned","message":"socket 0 of node : CPUs 0-63 and memory of NUMA node 0",'
    b'"lastTransitionTime":"2026-11-25T17:00:00Z","observedGeneration":1},{"type":"Verified","'
    b'status":"Unknown","reason":"Pending","message":"","verdict":"Pending"{"podUID":"","nodeN'
    b'ame":"node-","policy":"(default)","mode":"Enforce","granularity":"Socket","socket":0,"cp'
    b'us":"64-127","mems":"1","memory":"Strict","memoryHeadroom":"10%","verification":{"window'
    b'":"60s","maxCrossSocketPagesPerSecond":10.0,"minLocalPercent":95.0,"onFailure":"Warn"}}'
)


def pack(text: str) -> bytes:
    """Pack JSON; the same text gives the same bytes.

    Args:
        text: any; what looks like a NumaPin shrinks most.
    """
    packer = zlib.compressobj(
        zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, _WINDOW, _MEMORY, zdict=_WORDS
    )
    return packer.compress(text.encode()) + packer.flush()


def unpack(packed: bytes) -> bytes:
    """The JSON that was packed, as UTF-8."""
    return zlib.decompressobj(_WINDOW, zdict=_WORDS).decompress(packed)
