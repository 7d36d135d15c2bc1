"""Compares what Autobahn says of the gateway with what it says of the same peer without one. Exits with 1 where the gateway is worse."""

import collections
import json
import sys

ORDER = ["OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "UNCLEAN", "WRONG CODE", "FAILED BY CLIENT", "FAILED"]
EXPECTED = 247


def rank(verdict):
    return ORDER.index(verdict) if verdict in ORDER else len(ORDER)


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
                worse += rank(after) > rank(before)
print(f"{worse} worse through the gateway")
sys.exit(1 if worse else 0)
