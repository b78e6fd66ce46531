# What a user does in a shell, command by command. Each script below a heading runs twice with the same static busybox: in a
# guest, and on the machine that runs the tests. Both must print the same, so nothing here may depend on who runs it, when,
# where, how fast, or on which kernel. The working directory is empty and the script's own; $BUSYBOX is busybox's path.
#
# What stands before the first heading runs first, in the directory above: 34 KB of text, 60 KB that hardly compress.

seq 1 600 | awk '{ printf "%d squared is %d; %x in hexadecimal, and the remainder %d\n", $1, $1 * $1, $1 * 977, $1 * 31 % 17 }' > text
awk 'BEGIN { x = 1; for (i = 0; i < 15000; i++) { x = (x * 1103 + 12345) % 2147483; printf "%08x", x * 1999 } }' | xxd -r -p > noise

### shell-arithmetic
echo $((1 << 62)) $((-7 / 2)) $((-7 % 3)) $((0x7fffffffffffffff + 1)) $((010 + 9))
i=1; n=0; while [ $n -lt 63 ]; do i=$((i * 3 ^ n)); n=$((n + 1)); done; echo $i
echo $(((5 > 3) && !(2 >= 4) || 0)) $((~0)) $((5 & 6 | 8 ^ 3))

### expr
expr 2 + 3 \* 4; expr 17 % 5; expr length 'ring one'; expr substr hypervisor 6 5
expr 'linux-6.1.0' : 'linux-\([0-9.]*\)'; expr 3 \< 2; echo $?

### bc
echo 'scale=60; 4*a(1); e(1); l(10); s(2.5); sqrt(2)' | bc -l
echo '2^521-1; 3^200 % 10^20; obase=16; 2^70 + 255' | bc

### dc
dc -e '20 k 2 v p' -e '[la1+dsa*pla10>y]sy 0sa 1 lyx' -e '16 i DEADBEEF p'

### awk-integers
awk 'BEGIN { for (i = 0; i < 40000; i++) s += i * i % 7; print s; print 9007199254740991 + 1, int(-7 / 2), -7 % 3, 2147483647 * 2 }'

### awk-floating-point
awk '
function root(x, r, i) { r = x; for (i = 0; i < 60; i++) r = (r + x / r) / 2; return r }
function sine(x, t, s, i) { t = s = x; for (i = 1; i < 20; i++) { t *= -x * x / (2 * i * (2 * i + 1)); s += t } return s }
BEGIN {
  for (i = 1; i <= 300; i++) { a += root(i); b += sine(i / 100); c += 1 / i % 0.01 }
  printf "%.17g %.17g %.17g\n", a, b, c
  printf "%.17g %.17g %e %g %.3f\n", 0.1 + 0.2, 1 / 3, 12345.678, 1e100, 1e15 / 7
  printf "%.0f %.0f %.0f %d %d\n", 0.5, 1.5, 2.5, 1e18, -3.99
  x = 1e308 * 10; print x, -x, 1e-308 / 1e10, 5e-324
}'

### factor
factor 1 97 360 1234567890 4294967297 600851475143 18446744073709551556

### seq
seq 5; seq -s, 10 -3 -5; seq -w 8 11; seq 0.5 0.25 1.5

### printf
printf '%d %i %u %o %x %X %c %s %b|\n' -42 7 3000000000 8 255 255 Z text 'a\tb'
printf '%5d|%-5d|%05d|%+d|%.3f|%10.4e|%g\n' 42 42 42 42 3.14159 31415.9 0.0001
printf '%s-%s\n' a b c d; printf '%%|%5s|%-5s|%.2s\n' x y xyz; printf '\101\x42\n'

### sed
sed -n -e '5p' -e '/^7[0-9] /s/\([0-9]*\) squared is \([0-9]*\);/<\2 \1>/p' -e '$=' ../text
printf 'one\ntwo\nthree\n' | sed -e '1!G;h;$!d'; printf 'a,b,c\n' | sed 's/,/\n/2;y/abc/xyz/'
printf 'x\nstart\n1\nend\ny\n' | sed '/start/,/end/d;1i\first'

### awk-text
awk -F'[ ;]' '{ n[$NF % 5] += $4; last = $0 } END { for (i = 0; i < 5; i++) print i, n[i]; print toupper(last) }' ../text
echo 'a:b:c' | awk -F: -v OFS=- '{ $2 = length($0) substr("hypervisor", 3, 4); print; print gsub(/c/, "[&]"), $0, index($0, "-") }'
awk 'function f(n) { return n < 2 ? n : f(n - 1) + f(n - 2) } BEGIN { print f(17); print split("a b c", p), p[3], match("foobar", /o+/), RSTART, RLENGTH }'

### sort
seq 1 300 | awk '{ print $1 * 7919 % 1009, $1 }' > pairs
sort -n pairs | head -n 4; sort -k2,2nr pairs | tail -n 3; sort pairs | md5sum
printf 'b\na\nc\na\n' | sort -u; printf 'b 2\na 10\n' | sort -k2n; printf 'Z\na\nM\n' | sort -f; sort -rc pairs; echo $?

### uniq
printf 'a\na\nb\nc\nc\nc\n' > lines; uniq -c lines; uniq -d lines; uniq -u lines

### tr
echo 'Hello, World' | tr a-zA-Z n-za-mN-ZA-M; echo aabbccdd | tr -s a-c; echo 'x1y2' | tr -d '[:digit:]'; echo abc | tr -c 'b\n' .

### cut
printf 'a:b:c:d\n1:2:3:4\n' > table; cut -d: -f2,4 table; cut -c2-4 table; cut -b1 table; echo 'a b' | cut -d' ' -f1

### paste
seq 1 4 > left; seq 11 14 > right; paste left right; paste -d+ -s left

### head-and-tail
head -n 2 ../text; tail -n 2 ../text; head -c 10 ../text; echo; tail -c 11 ../text; tail -n +599 ../text

### tac-rev-nl
printf 'one\ntwo\n\nthree\n' > lines; tac lines; rev lines; nl lines; cat -n lines

### fold
echo 'a paravirtualized kernel knows that it is one' > line; fold -w 10 line; fold -s -w 12 line
printf 'a\tb\n' | expand -t 4; printf '        x\n' | unexpand

### grep
grep -c 7 ../text; grep -n '^10 ' ../text; grep -E -o '[a-f]+[0-9]{3} in' ../text | head -n 3; grep -v -c -F remainder ../text
grep -q absent ../text; echo $?; printf 'Foo\nbar\n' | grep -i foo; printf 'a b\nab\n' | grep -w a

### wc
wc ../text; wc -l < ../text; wc -c ../text; printf 'no newline' | wc -w

### diff
seq 1 30 > old; sed -e 7d -e 's/^20$/twenty/' -e '25a\more' old > new
diff -U 2 -L old -L new old new; echo $?; diff -q old new; diff old old; echo $?

### patch
seq 1 30 > file; sed -e 3d -e 's/^15$/fifteen/' file > wanted
diff -u -L a/file -L b/file file wanted > change; patch -p1 < change; cmp file wanted && echo same
patch -R -p1 < change; seq 1 30 | cmp - file && echo back

### strings
printf 'abc\0\1defgh\0\2ij\0xyzzy!' > data; strings data; strings -n 3 data

### ed
printf 'a\nfirst\nsecond\nthird\n.\n2s/con/CON/\n1d\n,p\nw out\nq\n' | ed; cat out

### dos2unix
printf 'a\nb\n' > f; unix2dos f; od -c f; dos2unix f; od -c f

### md5sum
md5sum < ../noise; md5sum ../noise > sums; md5sum -c sums

### sha1sum
sha1sum < ../noise; printf '' | sha1sum

### sha256sum
sha256sum < ../noise; dd if=/dev/zero bs=4k count=64 2>/dev/null | sha256sum

### sha512sum
sha512sum < ../noise; sha3sum < ../noise

### crc32
crc32 ../noise

### mkpasswd
mkpasswd -m sha512 -S saltsalt secret; mkpasswd -m md5 -S saltsalt secret; mkpasswd -m des -S ab secret

### base64
base64 ../noise | md5sum; base64 ../noise | base64 -d | cmp - ../noise && echo same; echo cmluZyBvbmU= | base64 -d

### uuencode
uuencode name < ../noise | tail -n 3; uuencode name < ../noise | uudecode -o - | cmp - ../noise && echo same

### od
printf 'ring one\0\377\200ab\n' > data; od data; od -A x -t x1 data; od -c data; od -t d4 -A d data; od -t f8 -N 8 data

### hexdump
printf 'ring one\0\377\200ab\n' > data; hexdump data; hexdump -C data; xxd data; xxd -p data | xxd -r -p | cmp - data && echo same

### gzip
cp ../text ../noise .
gzip -c < text | md5sum; gzip -9 -c < noise | gunzip | cmp - noise && echo same
gzip text; zcat text.gz | tail -n 1; gunzip text.gz; gzip -t noise; echo $?

### bzip2
cp ../text ../noise .
bzip2 -c text | md5sum; bzip2 -9 < noise | bunzip2 | cmp - noise && echo same; bzip2 text; bzcat text.bz2 | wc

### xz
base64 -d <<END | xz -d | md5sum
/Td6WFoAAAFpIt42AgAhARYAAAB0L+Wj4AcHAD1dACoaCKIDJWbxS3jFogX/LubZ0iAarTT44h3o
QTb63AZpuzzkEDQnCeuzZuPsmTl+UFvlJ4UIOKE9cR2x1gAAAAAAQ0147AABVYgOAAAA+cFf/j4w
DYsCAAAAAAFZWg==
END

### lzop
lzop -c < ../text | lzop -d | cmp - ../text && echo same

### tar
mkdir -p tree/deep/er; echo a > tree/a; echo b > tree/deep/b; ln -s ../a tree/deep/link; chmod 750 tree/deep; chmod 4755 tree/a
tar -czf tree.tgz tree; tar -tzf tree.tgz | sort; mkdir out; tar -xzf tree.tgz -C out
cat out/tree/deep/link; stat -c '%a %F' out/tree/a out/tree/deep; find out -type l

### cpio
mkdir d; echo one > d/one; echo two > d/two; find d | sort | cpio -o -H newc 2>/dev/null > a.cpio; cpio -t < a.cpio 2>/dev/null
mkdir out; cd out; cpio -i < ../a.cpio 2>/dev/null; cat d/one d/two

### find
mkdir -p a/b/c; for i in 1 2 3 4 5 6; do head -c $((i * 1000)) /dev/zero > a/b/f$i; done; touch a/x.c a/b/c/y.c
find a | sort; find a -name '*.c' | sort; find a -type f -size +3k | sort; find a -maxdepth 1 -type d
find a -type f -name 'f[12]' -exec wc -c {} \; | sort; find a -name 'f*' -print0 | xargs -0 cat | wc -c; find a -empty | sort; find a -depth -exec rm -r {} \; ; ls

### xargs
seq 1 10 | xargs -n 3 echo; printf 'a b' | xargs -I {} echo '[{}]'; seq 100 | xargs | wc; printf '1\n2\n' | xargs sh -c 'echo "$0+$1"; exit 5'; echo $?

### stat
echo 12345 > file; chmod 640 file; ln file hard; ln -s file soft; mkfifo pipe; mkdir -m 1777 dir
stat -c '%a %s %h %F' file hard soft pipe; stat -c '%a %F' dir; stat -L -c '%F' soft; chmod u+x,g-r,o=w file; stat -c %A file
touch -d '2021-03-04 05:06:07' file; stat -c %Y file; [ hard -ef file ] && echo one file; test -p pipe && test -L soft && test -k dir && echo tests

### links
mkdir -p a/b; ln -s a/b l; cd l; basename "$(pwd -P)"; cd ..; readlink l; basename "$(realpath l/..)"; basename /x/y.c .c; dirname /x/y.c

### copy-and-move
mkdir -p s/t; echo 1 > s/one; echo 2 > s/t/two; ln -s one s/link; cp -a s c; diff -r s c && echo equal; mv c m; ls -1R m; rm -r m/t; ls -1 m; rm m 2>&1; echo $?

### dd
dd if=../noise bs=1000 skip=3 count=20 2>/dev/null | md5sum; dd if=../noise of=copy bs=7919 2>/dev/null; cmp ../noise copy && echo same
dd if=/dev/zero of=copy bs=1 seek=100 count=50 conv=notrunc 2>/dev/null; md5sum < copy; echo hello | dd conv=ucase 2>/dev/null; dd if=../noise bs=4096 count=2 2>&1 >/dev/null | head -n 2

### truncate
echo abcdef > f; truncate -s 3 f; cat f; echo; truncate -s 100000 f; wc -c < f; tr -d '\0' < f; echo

### tee
echo once | tee a b | tr a-z A-Z; cat a b; echo more | tee -a a >/dev/null; cat a

### shell
f() { local x=$1; shift; case $x in a*) echo "A $#";; [0-9]) echo digit;; *) echo "other $*";; esac; return $#; }
f apple 1 2; echo $?; f 7; f zoo p q
x=hypervisor; echo "$x" "${#x}" "${x%visor}" "${x#hy}" "${y:-default}" "${x/per/PER}" "${x:2:4}"
while getopts ab:c o -a -b value -c; do echo "$o=$OPTARG"; done
set -- one 'two words' three; for w; do echo "<$w>"; done; echo "$#" "$*"
until [ "$#" = 0 ]; do shift; done; echo none left
(exit 3); echo $?; false || echo or; true && echo and; ! true; echo $?; [ a '<' b ] && echo less
cat <<END
here $((6 * 7)) $(echo nested $(echo deeper))
END
eval 'v=5; echo $v'; trap 'echo leaving' EXIT; echo last

### read-loop
printf 'a:1\nb:2\n' | while IFS=: read -r key value; do echo "$value=$key"; done; echo 'x y z' | { read a b; echo "$b|$a"; }

### globs
touch a1 a2 b1 .hidden 'with space'; echo *; echo a? [!a]*; echo .h*; for f in *\ *; do echo "<$f>"; done; echo none*

### redirections
{ echo out; echo err >&2; } > both 2>&1; cat both; exec 3> three; echo to three >&3; exec 3>&-; cat three
cat < three > copy; cat copy; echo x 2>&1 >/dev/null; cat /nonexistent 2>/dev/null; echo $?; echo more >> three; wc -l < three

### pipeline-of-eight
seq 1 5000 | grep -v 3 | sed 's/^/9/' | sort -rn | tr 0-9 1-90 | awk 'NR % 7 == 0' | tee copy | md5sum; wc -l < copy

### named-pipe
mkfifo p; (seq 1 2000 > p) & sum=0; while read n; do sum=$((sum + n)); done < p; echo $sum; wait

### pipe-status
yes | head -n 3; yes 'a line of some length' | head -n 20000 | md5sum; (echo kept; exit 4) | cat; echo $?; set -o pipefail; false | true; echo $?

### subshells
x=1; (x=2; (x=3; echo $x); echo $x); echo $x; echo $( (echo a; echo b) | (read p; read q; echo $q$p) ); (cd /; pwd); { x=5; }; echo $x

### exit-by-signal
{
  for s in HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM SYS; do
    $BUSYBOX sh -c "kill -$s \$\$" > /dev/null; echo $s $?
  done
} 2>/dev/null

### trapped-signals
n=0; trap 'n=$((n + 1))' USR1; trap 'echo terminated' TERM; trap '' HUP
for i in 1 2 3 4 5; do kill -USR1 $$; done; kill -HUP $$; kill -TERM $$; echo $n; trap - USR1; trap

### signals-between-processes
child=; trap '[ -z "$child" ] || kill -USR2 $child 2>/dev/null' USR1; parent=$$
$BUSYBOX sh -c 'trap "heard=1" USR2
for i in 1 2 3; do heard=0; while [ $heard = 0 ]; do kill -USR1 '$parent'; usleep 1000; done; done; echo three answers' &
child=$!; while kill -0 $child 2>/dev/null; do wait $child; done

### timeout
timeout 0.2 sleep 10; echo $?; timeout -s KILL 0.2 sleep 10; echo $?; timeout 10 echo in time

### background
for i in 1 2 3 4 5; do (seq 1 $((i * 100)) | wc -l > $i; exit $i) & last=$!; done; wait $last; echo $?; wait; cat *
(exit 9) & wait $!; echo $?; exec 2>/dev/null; sleep 100 & kill $!; wait $!; echo $?

### environment
env -i A=1 B='two words' env | sort; A=5 $BUSYBOX sh -c 'echo $A'; export C=7; $BUSYBOX sh -c 'echo $C; unset C; echo "[$C]"'; env | grep C=; echo "${A-unset}"

### exec-of-many-arguments
$BUSYBOX echo $(seq 1 9000) | md5sum; $BUSYBOX test -n "$(seq 1 9000)"; echo $?

### date
date -u -d @0; date -u -d @1700000000 '+%Y-%m-%d %H:%M:%S %j %U %a %B'; date -u -d '2024-02-29 12:00' +%s; TZ=EST5EDT date -d @1720000000; date -u -d @4294967296 +%c

### cal
cal 2 2024; cal 9 1752

### ipcalc
ipcalc -bnm 192.168.7.9/20; ipcalc -p 10.0.0.1 255.255.255.128
