// Preloaded into the programs under test where leaks are looked for: the leak detector runs at exit
// and needs the modules that MPI loaded and has unloaded by then to tell whose memory it sees.
#include <cstdlib>

extern "C" int dlclose(void*) {
  return 0;
}

namespace {
// The programs that the tests start in turn, gnuplot for one, run as they are.
[[gnu::constructor]] void not_in_children() {
  unsetenv("LD_PRELOAD");
}
}  // namespace
