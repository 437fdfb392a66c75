# shellcheck shell=bash
# What the jobs that draw figures share (fig-*.sbatch): runs that are not repeated, numbers of their records, exponents,
# pictures. They source it after environment.sh and set `out`, the folder of the results.

[[ -n ${out:-} ]] || mercer_stop "figures.sh needs the folder of the results in out"
programs=${MERCER_BIN:-$MERCER_HOME/build/bin} # here, because what a run says goes to its log
[[ -x $programs/mercer-train ]] || mercer_stop "no $programs/mercer-train: build Mercer first (bash jobscripts/quickstart.sh), or set MERCER_BIN"
command -v gnuplot >/dev/null || mercer_stop "no gnuplot in PATH: it draws the pictures"

# figure_run NAME DRIVER OPTIONS...: one run, stored as runs/NAME.json (and its log), unless it is there already.
figure_run() {
  local name=$1 json=$out/runs/$1.json rc=0
  shift
  mkdir -p "$out/runs"
  [[ ! -s $json ]] || return 0
  mercer_job "$@" --quiet --json "$json.part" >"$out/runs/$name.log" 2>&1 || rc=$?
  if [[ -n $mercer_signal ]]; then
    echo "${0##*/}: interrupted: submit it again, finished runs are not repeated" >&2
    exit 130
  fi
  ((rc == 0)) || { cat "$out/runs/$name.log" >&2; exit "$rc"; }
  mv "$json.part" "$json"
}

# figure_value NAME KEY: the last number of that key in the record of a run; nan where there is none.
figure_value() {
  local found
  found=$(sed -n "s/^.*\"$2\": *\([-0-9][-+0-9.eE]*\).*$/\1/p" "$out/runs/$1.json" | tail -n 1)
  echo "${found:-nan}"
}

# figure_exponents FILE.csv X Y GROUP...: the exponent p of y ~ x^p for each group of lines, by least squares of the
# logarithms, with the standard error of the fit: lines "group p error". X, Y and the groups are numbers of columns.
figure_exponents() {
  local file=$1 x=$2 y=$3
  shift 3
  awk -F, -v x="$x" -v y="$y" -v groups="$*" '
    NR > 1 && $y > 0 { k = ""; m = split(groups, g, " "); for (i = 1; i <= m; i++) k = k (i > 1 ? " " : "") $g[i]
      if (!(k in n)) order[++keys] = k
      u = log($x); v = log($y); n[k]++; su[k] += u; sv[k] += v; suu[k] += u * u; suv[k] += u * v; svv[k] += v * v }
    END { for (j = 1; j <= keys; j++) { k = order[j]; d = n[k] * suu[k] - su[k]^2; if (d <= 0) continue
      p = (n[k] * suv[k] - su[k] * sv[k]) / d; rest = svv[k] - sv[k]^2 / n[k] - p * (suv[k] - su[k] * sv[k] / n[k])
      e = n[k] > 2 && rest > 0 ? sqrt(rest / (n[k] - 2) * n[k] / d) : 0
      printf "%s %.3f %.3f\n", k, p, e } }' "$out/$file"
}

# figure_draw FILE.svg: runs gnuplot on the commands of standard input, in the folder of the results, whose name is
# therefore never part of the commands.
figure_draw() {
  local rc=0 commands
  commands=$(cat) # all of them, also where gnuplot ends before it has read them
  { echo "set terminal svg size 1200,560 background 'white' font 'Helvetica,13'; set output '$1.part'; set datafile separator ','; set grid"; echo "$commands"; } |
    (cd "$out" && timeout -k 5 120 gnuplot && mv "$1.part" "$1") || rc=$?
  ((rc == 0)) || echo "${0##*/}: warning: gnuplot did not draw $1 (exit code $rc); its numbers are in $out" >&2
}
