#!/usr/bin/env bash
# A node at work, in about 20 seconds: real flights are published over TCP, subscribers get what their patterns select,
# a service answers requests. `make demo` calls it. Ends with 1 when somebody got another number than grep counts.
#
#   DEMO_COUNT  flights to publish (default 5000, at most 20000)
#   DEMO_RATE   flights a second (default 330)
#   BIN         where mb and mb-server are (default bin)
set -euo pipefail
cd "$(dirname "$0")/../.."

count=${DEMO_COUNT:-5000}
rate=${DEMO_RATE:-330}
bin=${BIN:-bin}
topic='flights.{origin}.{destination}.{delay:early<0,ontime<15,late}'
patterns=(flights.ord.msp.early 'flights.+.lax.late' 'flights.sea.#' 'flights.#')
show=(1 1 1 0) # of how many messages one is printed; 0: they are only counted
question='delay.{origin}.{destination}'
data=server/blackbox/testdata/flights.ndjson

work=$(mktemp -d "${TMPDIR:-/tmp}/mb-demo.XXXXXX")
pids=() # what was started and must be stopped
export DATA=$PWD/$data work

# ---- the terminal: counters on top, messages scroll below them, the last row is for the progress of mb pub

fancy=false
rows=0 top=0
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && size=$(stty size 2>/dev/null </dev/tty); then
	rows=${size% *} columns=${size#* }
	top=$((${#patterns[@]} + 5)) # first row of what scrolls
	[ "$rows" -ge $((top + 5)) ] && [ "$columns" -ge 80 ] && fancy=true
fi
colours=(36 33 35 34 32) # of the subscribers, then of the service
if [ ! -t 1 ] || [ -n "${NO_COLOR:-}" ]; then colours=(0 0 0 0 0); fi
bold=$'\e[1m' plain=$'\e[0m'
[ "${colours[0]}" != 0 ] || bold='' plain=''

# counter NAME-NUMBER COUNT: the counter's row. One write each, so that the processes that draw do not mix.
counter() { $fancy && printf '\e7\e[%d;28H\e[1m%6d\e[0m\e8' $(($1 + 3)) "$2" || true; }

# line NUMBER NAME TEXT: a line in the colour of that subscriber; at the end of the scrolling part.
line() {
	local text=$3
	if $fancy; then
		printf '\e7\e[%d;1H\eD\e[%sm%-22s\e[0m %s\e8' $((rows - 1)) "${colours[$1]}" "$2" "${text:0:$((columns - 24))}"
	elif [ "${colours[$1]}" != 0 ]; then
		printf '\r\e[K\e[%sm%-22s\e[0m %s\n' "${colours[$1]}" "$2" "$text"
	else
		printf '%-22s %s\n' "$2" "$text"
	fi
}

# follow NUMBER NAME EVERY: counts the lines of its input and prints one of EVERY.
follow() {
	local n=0 text
	while IFS= read -r text; do
		n=$((n + 1))
		if [ "$3" -gt 0 ] && [ $((n % $3)) -eq 0 ]; then
			counter "$1" $n
			line "$1" "$2" "$text"
		elif [ $((n % 10)) -eq 0 ]; then
			counter "$1" $n
		fi
	done
	counter "$1" $n
	echo $n >"$work/counted.$1"
}

draw() {
	$fancy || return 0
	printf '\e[2J\e[H%sMB Server Node%s  pid %d, tcp://%s\n\n' "$bold" "$plain" "$node" "$address"
	local i
	for i in "${!patterns[@]}"; do
		printf '\e[%sm%-26s\e[0m        messages to mb sub%s\n' "${colours[$i]}" "${patterns[$i]}" "$([ "${show[$i]}" -gt 0 ] || echo ' (only counted)')"
	done
	printf '\e[%sm%-26s\e[0m        requests answered by mb reply --command (1 in 10 is shown)\n' "${colours[${#patterns[@]}]}" 'delay.+.+'
	printf '\e[%d;%dr\e[%d;1H' $top $((rows - 1)) "$rows"
}

undraw() {
	$fancy || return 0
	fancy=false
	printf '\e[r\e[%d;1H\e[K' "$rows"
}

# ---- ends

stop() { # PID: asks it to end, then waits
	kill "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

finish() {
	local code=$? pid
	trap - EXIT
	trap '' INT TERM HUP
	for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
	for pid in ${pids[@]+"${pids[@]}"}; do wait "$pid" 2>/dev/null || true; done
	undraw
	rm -rf "$work"
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

fail() {
	undraw
	printf 'demo: %s\n' "$1" >&2
	cat "$work"/*.err >&2 2>/dev/null || true
	exit 1
}

# await WHAT COMMAND…: polls for 10 seconds.
await() {
	local what=$1 i
	shift
	for ((i = 0; i < 200; i++)); do
		if "$@"; then return; fi
		sleep 0.05
	done
	fail "$what: not within 10 seconds"
}

# ---- the node, on ports that are free

said_or_gone() { grep -q '"msg":"ready"' "$work/node.log" || ! kill -0 $node 2>/dev/null; }

start_node() {
	local attempt port
	for ((attempt = 0; attempt < 20; attempt++)); do
		port=$((10000 + RANDOM % 20000))
		address=127.0.0.1:$port
		# An environment without the settings of a node, so that this is what a newcomer gets.
		env -i PATH="$PATH" "$bin/mb-server" --host 127.0.0.1 --ws-port $((port + 1)) --tcp-port $port \
			--set admin.address=127.0.0.1:0 >"$work/node.log" 2>&1 &
		node=$!
		pids=("$node")
		await 'the start of the node' said_or_gone
		kill -0 $node 2>/dev/null && return
		wait $node || true
		pids=()
		grep -q 'in use' "$work/node.log" || break
	done
	cat "$work/node.log" >&2
	fail 'the node does not start'
}

subscribed() { [ "$("$bin/mb" topics 2>>"$work/topics.err" | wc -l)" -eq $((${#patterns[@]} + 1)) ]; }

# matching PATTERN: how many of the topics grep selects.
matching() {
	local regex=${1//./\\.}
	regex=${regex//+/[a-z]+}
	regex=${regex//'\.#'/'(\..*)?'}
	grep -cE "^$regex\$" "$work/topics" || true
}

[ -x "$bin/mb" ] && [ -x "$bin/mb-server" ] || fail "there is no $bin/mb: make build"
head -n "$count" $data >"$work/flights"
count=$(wc -l <"$work/flights" | tr -d ' ')

start_node
export MB_SERVER=tcp://$address
draw

for i in "${!patterns[@]}"; do
	"$bin/mb" sub "${patterns[$i]}" 2>"$work/sub$i.err" > >(follow "$i" "${patterns[$i]}" "${show[$i]}") &
	pids+=($!)
done
subscribers=("${pids[@]:1}")

# The service: what is known of the route in the request's topic.
# shellcheck disable=SC2016 # the variables are of the service's shell
"$bin/mb" reply 'delay.+.+' --name delays --description 'delays of a route' --concurrency 2 --command '
	set -- $(echo "$MB_TOPIC" | tr "a-z." "A-Z ")
	grep "\"origin\":\"$2\",\"destination\":\"$3\"" "$DATA" | awk -v from="$2" -v to="$3" -F "\"delay\":" "
		{ d = \$2 + 0; n++; late += d >= 15; if (d > worst) worst = d }
		END { printf \"%s to %s: %d flights, %d late, the worst by %d minutes\\n\", from, to, n, late, worst }"
' 2>"$work/reply.err" &
pids+=($!)
await 'the subscriptions' subscribed

# ---- what happens

requests=$((count / 16))
"$bin/mb" request "$question" --file "$work/flights" --count $requests --rate $((rate / 15 + 1)) --parallel 4 \
	2>"$work/request.err" > >(follow ${#patterns[@]} 'delay.+.+' 10) &
asking=$!
pids+=($asking)

# Its progress goes to the terminal; its last word stays.
if [ -t 2 ]; then
	"$bin/mb" pub "$topic" --file "$work/flights" --rate "$rate" &
else
	"$bin/mb" pub "$topic" --file "$work/flights" --rate "$rate" 2>"$work/pub.err" &
fi
publishing=$!
pids+=($publishing)
wait $publishing || fail 'mb pub failed'
wait $asking || fail 'a request was not answered'
for pid in "${subscribers[@]}"; do stop "$pid"; done
counted() { [ "$(cat "$work"/counted.* 2>/dev/null | wc -l)" -eq $((${#patterns[@]} + 1)) ]; }
await 'the last lines' counted

# ---- the summary

awk -F '"delay":' '{
	d = $2 + 0
	split($2, q, "\"")
	print tolower("flights." q[6] "." q[10]) "." (d < 0 ? "early" : d < 15 ? "ontime" : "late")
}' "$work/flights" >"$work/topics"

undraw
code=0
printf '\n%s%-34s %8s %8s%s\n' "$bold" '' counted expected "$plain"
report() { # WHAT COUNTED EXPECTED
	printf '%-34s %8d %8d  %s\n' "$1" "$2" "$3" "$([ "$2" -eq "$3" ] && echo ok || echo WRONG)"
	[ "$2" -eq "$3" ] || code=1
}
metric() { "$bin/mb" metrics --json --filter "$1" | sed -n "s/.*\"name\":\"$1\",\"value\":\([0-9]*\).*/\1/p"; }
report 'published' "$(metric router.publish.count)" "$count"
for i in "${!patterns[@]}"; do
	report "received by ${patterns[$i]}" "$(cat "$work/counted.$i")" "$(matching "${patterns[$i]}")"
done
report 'requests answered' "$(cat "$work/counted.${#patterns[@]}")" $requests
exit $code
