"""Compares what Autobahn says of the gateway with what it says of the same peer without one. Exits with 1 where the gateway fails and the peer does not.

NON-STRICT is no failure: some cases send a sound message and a broken frame at once, and expect the echo of the first before the end. A relay ends at
the broken frame, while the message is still on its way to whoever would echo it.
"""

import collections
import json
import sys

PASSED = {"OK", "INFORMATIONAL", "NON-STRICT"}
EXPECTED = 247


worse = 0
for path in sys.argv[1:]:
    with open(path) as file:
        index = json.load(file)
    direct, gateway = index["direct"], index["gateway"]
    for name, cases in (("direct", direct), ("gateway", gateway)):
        for what in ("behavior", "behaviorClose"):
            counts = collections.Counter(case[what] for case in cases.values())
            print(f"{path.split('/')[-2]}: {name}: {what}: {len(cases)} cases, {dict(counts)}")
    if set(direct) != set(gateway) or len(gateway) < EXPECTED:
        print(f"{path}: {len(direct)} cases directly, {len(gateway)} through the gateway, {EXPECTED} expected")
        worse += 1
    for case in sorted(gateway, key=lambda case: [int(part) for part in case.split(".")]):
        for what in ("behavior", "behaviorClose"):
            before, after = direct.get(case, {}).get(what, "absent"), gateway[case][what]
            if before != after:
                print(f"{path.split('/')[-2]}: case {case}: {what}: {before} directly, {after} through the gateway")
                worse += after not in PASSED and before in PASSED
print(f"{worse} worse through the gateway")
sys.exit(1 if worse else 0)
