#include "tile_loops.hpp"

#include "mercer/base/instructions.hpp"

namespace mercer::kernel {

namespace baseline {
extern const TileLoops loops;
}
#ifdef MERCER_LOOPS_X86
namespace avx2 {
extern const TileLoops loops;
}
namespace avx512 {
extern const TileLoops loops;
}
#endif

const TileLoops& tile_loops() {
  static const TileLoops& chosen = []() -> const TileLoops& {
#ifdef MERCER_LOOPS_X86
    const Instructions set = instructions();
    if (set == Instructions::avx512) return avx512::loops;
    if (set == Instructions::avx2) return avx2::loops;
#endif
    return baseline::loops;
  }();
  return chosen;
}

}  // namespace mercer::kernel
