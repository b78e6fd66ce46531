# What a kernel does for its processes, and what it sees of the machine. Lines `#>` are the expected output, each a line;
# a line `#~` is a pattern for one. The working directory is on a tmpfs; /programs has the programs of programs.ts.
#
# What stands before the first heading runs first.

mount -t devpts devpts /dev/pts 2>/dev/null || { mkdir -p /dev/pts; mount -t devpts devpts /dev/pts; }

### keyboard
setsid $BUSYBOX sh -c 'exec < /dev/hvc0 > /dev/hvc0 2>&1; set -m; stty -echo; trap "echo interrupted" INT
echo type-a-line; read line; echo "<$line>"; $BUSYBOX sh -c "echo type-an-interrupt; exec cat"; echo $?
echo type-an-end; $BUSYBOX cat; echo $?; stty echo'
#> type-a-line
#> <hello from the keyboard>
#> type-an-interrupt
#> interrupted
#> 130
#> type-an-end
#> some text
#> 0

### unames
uname -s; uname -m; id; tty; pwd; nproc; cat /proc/cmdline
#> Linux
#> x86_64
#> uid=0 gid=0(root)
#> not a tty
#> /tmp/kernel/001-unames
#> 1
#> console=hvc0 quiet

### hypervisor
cd /sys/hypervisor; cat type guest_type uuid version/major version/minor
[ -s properties/features ] && [ -s compilation/compiler ] && echo described
dmesg | grep -c 'Hypervisor detected: Xen PV'
#> xen
#> PV
#> 72696e67-6f6e-4500-8000-000000000001
#> 4
#> 17
#> described
#> 1

### xenbus
ls -1 /sys/bus | grep -c -e '^xen$' -e '^xen-backend$'; cat /sys/bus/xen/drivers_autoprobe; grep -c xenbus /proc/interrupts
dmesg | grep 'xenbus: .*fail' || echo no complaint
#> 2
#> 1
#> 1
#> no complaint

### processor
grep -c ^processor /proc/cpuinfo; grep -m 1 vendor_id /proc/cpuinfo
for flag in fpu sse2 cx16 popcnt sse4_2 nx syscall rdtscp hypervisor pcid avx vmx pse pge; do
  grep -q "^flags.* $flag\b" /proc/cpuinfo && echo yes $flag || echo no $flag
done
#> 1
#~ vendor_id.*: GenuineIntel
#> yes fpu
#> yes sse2
#> yes cx16
#> yes popcnt
#> yes sse4_2
#> yes nx
#> yes syscall
#> yes rdtscp
#> yes hypervisor
#> no pcid
#> no avx
#> no vmx
#> no pse
#> no pge

### memory-size
awk '/^MemTotal/ { print ($2 > 180000 && $2 < 262144) ? "as configured" : $0 }' /proc/meminfo
#> as configured

### bad-programs
for program in write-to-null write-to-own-code run-on-stack divide-by-zero undefined-instruction breakpoint single-step watchpoint \
  privileged-instruction port-access hypercall-by-interrupt x87-division-by-zero sse-division-by-zero stack-overflow \
  non-canonical-address read-hypervisor-memory read-kernel-memory 32-overflow 32-bound
do
  $BUSYBOX sh -c "exec /programs/$program"; echo "$program: $?"
done 2>/dev/null
#> write-to-null: 139
#> write-to-own-code: 139
#> run-on-stack: 139
#> divide-by-zero: 136
#> undefined-instruction: 132
#> breakpoint: 133
#> single-step: 133
#> watchpoint: 133
#> privileged-instruction: 139
#> port-access: 139
#> hypercall-by-interrupt: 139
#> x87-division-by-zero: 136
#> sse-division-by-zero: 136
#> stack-overflow: 139
#> non-canonical-address: 139
#> read-hypervisor-memory: 139
#> read-kernel-memory: 139
#> 32-overflow: 139
#> 32-bound: 139

### 32-bit-code
for program in interrupt-80 32-exit-by-interrupt 32-exit-by-sysenter 32-jump-to-64-bits; do /programs/$program; echo "$program: $?"; done
#> interrupt-80: 42
#> 32-exit-by-interrupt: 43
#> 32-exit-by-sysenter: 44
#> 32-jump-to-64-bits: 46

### registers-of-other-processes
for arguments in '' 'a' 'a b' 'a b c'; do (/programs/keep-registers $arguments; echo $? > "of $arguments") & done
seq 1 8000 | awk '{ s += 1 / $1 } END { printf "%.17g\n", s }' > alone
for i in 1 2 3; do seq 1 8000 | awk '{ s += 1 / $1 } END { printf "%.17g\n", s }' > together$i & done; wait
cat of*; cat alone; cmp alone together1 && cmp alone together2 && cmp alone together3 && echo alike
#> 0
#> 0
#> 0
#> 0
#> 9.5644749842613912
#> alike

### fork-storm
i=0; failed=0; while [ $i -lt 300 ]; do $BUSYBOX true || failed=$((failed + 1)); i=$((i + 1)); done; echo $failed failed
#> 0 failed

### many-processes
for i in $(seq 1 60); do (sleep 0.5; echo $i > $i) & done
[ $(ps | wc -l) -gt 60 ] && echo all at once; wait; cat * | awk '{ s += $1 } END { print s, NR }'
#> all at once
#> 1830 60

### nested-subshells
deep() { if [ $1 = 0 ]; then echo bottom; else (deep $(($1 - 1))); fi; }; deep 60
echo $(echo $(echo $(echo $(echo $(echo $(echo $(echo deep)))))))
#> bottom
#> deep

### orphans
(sleep 0.3 & echo $! > pid) ; ps -o pid,ppid | awk -v p=$(cat pid) '$1 == p { print "child of", $2 }'
sleep 0.5; ps -o pid | grep -q " $(cat pid)$" || echo reaped
#> child of 1
#> reaped

### stopped-processes
exec 2>/dev/null
sleep 100 & p=$!; kill -STOP $p; usleep 20000; awk '{ print $3 }' /proc/$p/stat
kill -CONT $p; usleep 20000; awk '{ print $3 }' /proc/$p/stat; kill $p; wait $p; echo $?
#> T
#> S
#> 143

### killed-while-busy
exec 2>/dev/null
(while :; do :; done) & p=$!; usleep 50000; kill $p; wait $p; echo $?
yes > /dev/null & p=$!; usleep 50000; kill -KILL $p; wait $p; echo $?
#> 143
#> 137

### fairness
(while :; do :; done) & p=$!; (while :; do :; done) & q=$!; sleep 0.4
awk '{ a[NR] = $14 + $15 } END { print (a[1] > 12 && a[2] > 12) ? "a half each" : a[1] " " a[2] }' /proc/$p/stat /proc/$q/stat
kill $p $q; wait 2>/dev/null
#> a half each

### time
awk '{ print $1 }' /proc/uptime > before; sleep 0.2; awk '{ print $1 }' /proc/uptime > after
paste before after | awk '{ d = $2 - $1; print (d > 0.18 && d < 0.3) ? "about 0.2 s" : d }'
a=$(date +%s); sleep 2; b=$(date +%s); [ $((b - a)) -ge 2 ] && [ $((b - a)) -le 3 ] && echo the date moves
date -u -d "@$(date +%s)" +%Y; for i in $(seq 1 200); do usleep 100; done; echo slept
date -u -s '2030-05-06 07:08:09' >/dev/null; date -u '+%Y-%m-%d %H:%M'; cat /sys/devices/system/clocksource/clocksource0/current_clocksource
#> about 0.2 s
#> the date moves
#> 2024
#> slept
#> 2030-05-06 07:08
#~ xen|tsc

### tmpfs-full
mkdir m; mount -t tmpfs -o size=256k tmpfs m; dd if=/dev/zero of=m/f bs=4k 2>&1 | grep -o 'No space.*'; stat -c %s m/f
rm m/f; echo again > m/f && cat m/f; umount m; ls m; grep -c "$PWD/m" /proc/mounts; true
#> No space left on device
#> 262144
#> again
#> 0

### mounts
mkdir a b; echo x > a/f; mount --bind a b; cat b/f; mount -o remount,ro,bind b; echo y > b/f; rm b/f; umount b; ls b; cat a/f
umount b; echo $?; mount -t nosuchfs none b; echo $?
#> x
#~ .*can't create b/f: Read-only file system
#> rm: can't remove 'b/f': Read-only file system
#> x
#> umount: can't unmount b: Invalid argument
#> 1
#> mount: mounting none on b failed: No such device
#> 255

### big-files
dd if=/dev/zero of=big bs=1M count=4 2>/dev/null; md5sum < big; dd if=big bs=64k 2>/dev/null | wc -c; cat big big | wc -c; rm big; df . | awk 'NR == 2 { print $5 }'
#> b5cfa9d6c8febd618f91ac2843d50a1c  -
#> 4194304
#> 8388608
#~ [0-9]%

### memory-pressure
free | awk '/^Mem/ { print $4 }' > before; dd if=/dev/zero of=big bs=1M count=80 2>/dev/null; stat -c %s big; rm big
free | awk '/^Mem/ { print $4 }' > after; paste before after | awk '{ print ($2 > $1 - 20000) ? "given back" : $0 }'
#> 83886080
#> given back

### out-of-memory
$BUSYBOX dd if=/dev/zero of=/dev/null bs=1G count=1; echo $?
dd if=/dev/zero of=big bs=1M count=90 2>/dev/null; $BUSYBOX dd if=/dev/zero of=/dev/null bs=140M count=1; echo $?
dmesg | grep -c 'Out of memory: Killed process'; rm big; echo alive
#> dd: out of memory
#> 1
#> Killed
#> 137
#> 1
#> alive

### pipes
mkfifo p q; (cat p > q) & (seq 1 8000 > p) & md5sum < q; wait
dd if=/dev/zero bs=1 count=20000 2>/dev/null | wc -c; $BUSYBOX sh -c 'echo lost | true; echo $?'
#> 7896134362b9a76543e5a282f760ca14  -
#> 20000
#> 0

### loopback-network
ifconfig lo 127.0.0.1 up; ping -c 2 127.0.0.1 | grep -o '2 packets transmitted, 2 packets received'
echo request | nc -l -p 999 > got & usleep 100000; echo hello | nc 127.0.0.1 999; wait; cat got
#> 2 packets transmitted, 2 packets received
#> request
#> hello

### devices
head -c 5000 /dev/zero | tr -d '\0' | wc -c; head -c 100000 /dev/urandom | wc -c
mknod n c 1 5; head -c 3 n | od -An -t x1; cat /proc/sys/kernel/random/uuid | wc -c
#> 0
#> 100000
#>  00 00 00
#> 37

### sysctl
sysctl -w kernel.printk='1 1 1 1' >/dev/null; cat /proc/sys/kernel/printk | tr '\t' ' '; sysctl -n kernel.ostype
#> 1 1 1 1
#> Linux

### proc
cat /proc/self/comm; grep -c '\[stack\]' /proc/self/maps; grep -c '\[vdso\]' /proc/self/maps; readlink /proc/self/exe
ls -d /proc/1 /proc/$$ | wc -l; grep -c timer0 /proc/interrupts
#> cat
#> 1
#> 1
#> /bin/busybox
#> 2
#> 1

### module
for m in /modules/*; do insmod $m || echo $m failed; done; lsmod | awk 'NR > 1 { print $1 }'; rmmod crc_itu_t; lsmod | grep -c crc_itu_t; true
#> crc_itu_t
#> 0

### no-complaints
dmesg | grep -E 'WARNING|BUG|Oops|rcu.*stall|soft lockup' || echo none
#> none

### job-control
setsid $BUSYBOX sh -c 'exec < /dev/hvc0 > /dev/hvc0 2>&1; set -m
sleep 100 & kill -STOP %1; usleep 20000; jobs; bg %1; kill %1; wait %1 2>/dev/null; echo $?'
#> [1]+  Stopped (signal)           sleep 100
#> [1] sleep 100
#> 143
