# Runs every script in the directory $1, in the order of their names, with the busybox $2. Each gets a directory of its own
# inside the current one. A script's output stands between two lines that name it; the second has its exit status.
scripts=$1
export BUSYBOX=$2
umask 022
for script in "$scripts"/*; do
  name=${script##*/}
  mkdir "$name"
  cd "$name"
  echo "@@@ begin $name"
  "$BUSYBOX" sh "$script" </dev/null >../output 2>&1
  status=$?
  cat ../output
  echo "@@@ end $name $status"
  cd ..
done
