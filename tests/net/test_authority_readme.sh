#!/bin/bash
# The README's commands, as they stand there.
exec "$(dirname "$0")/../../scripts/demo-authority"
