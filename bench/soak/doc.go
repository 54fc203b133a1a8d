// Command soak attacks a node in every way that is known to have hurt one, and judges what its
// well-behaved clients and its books notice of it:
//
//	make soak                       each attack once, loops and memory.limit drawn by SEED
//	make soak CELLS=all             every attack x loops 1, 2, 4 x 64, 256 MiB
//	make soak CELLS=ci              all attacks together, 2 loops, 64 MiB
//	make soak CELLS=requests/2/64,fan/1/64 SOAKFLAGS='-for 10s'
//
// A cell is a node of its own: a quiet phase, the attack, the attackers leave, the books must be
// back, the attack once more and SIGTERM into it. Three processes take part:
//
//   - the node, as it is shipped (no race detector), on all cores;
//   - the attackers: this program once more, one thread at a time, with a tenth of the node's claim
//     on a core and short slices: they have a core while the node leaves them one, and the node
//     hardly waits for them. (With what it leaves alone, SCHED_IDLE, readers among them would stand
//     still as soon as all loops are busy, which is another attack.);
//   - the judge: probes, polite clients and the samples.
//
// A probe is the round trip of system.heartbeat on a quiet connection; there are some on every
// loop (which loop serves a connection is read in /proc, package proc), and each sends whether or
// not it has been answered. What is measured is the node, not the judge: a probe begins just before
// its write and ends when the answer comes into the socket, by the kernel's clock
// (SO_TIMESTAMPNS), however late the judge is to read it. One whose write took longer than spoilt
// is left out. What other programs on the machine disturb is in the quiet phase of the same cell
// too: its p99 beyond a millisecond scales the limits.
package main
