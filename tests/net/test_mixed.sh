#!/bin/bash
# Mixed load for a moment, with everything that tests/net/mixed changes and checks. (Too
# short for more to be said of memory than that it does not run away.)
# alone: times have bounds
DURATION=10 RSS_BOUND=8192 exec "$(dirname "$0")/mixed"
