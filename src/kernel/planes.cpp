#include "planes.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace mercer::kernel {
namespace {

Index modulo(Index a, Index n) {
  return (a % n + n) % n;
}

}  // namespace

Plane plane_at(Extent image, bool wrapped, Index dy, Index dx) {
  if (wrapped)
    return {image, true, image.h, image.w, 0, 0, modulo(-dy, image.h), modulo(-dx, image.w)};
  return {image,
          false,
          image.h - std::abs(dy),
          image.w - std::abs(dx),
          std::max<Index>(0, dy),
          std::max<Index>(0, dx),
          std::max<Index>(0, -dy),
          std::max<Index>(0, -dx)};
}

void Strip::lay_out() {
  first.clear();
  w = 0;
  h = planes.empty() ? 0 : planes[0].h;
  for (const Plane& plane : planes) {
    first.push_back(w);
    w += plane.w;
  }
}

std::vector<Strip> strips_of(Extent image, bool wrapped, const Offsets& dy, const Offsets& dx) {
  constexpr Index kPairs = 512;
  std::vector<Strip> strips;
  std::size_t number = 0;
  for (const Index y : dy) {
    Index pairs = kPairs, row = -1;
    for (const Index x : dx) {
      const bool same_row = std::exchange(row, modulo(x, image.w)) == row;
      if (pairs >= kPairs && !same_row) {
        strips.push_back({.number = number});
        pairs = 0;
      }
      strips.back().planes.push_back(plane_at(image, wrapped, y, x));
      pairs += strips.back().planes.back().size();
      ++number;
    }
  }
  for (Strip& strip : strips) strip.lay_out();
  return strips;
}

Offsets in_rows(Offsets offsets, Index size) {
  std::ranges::sort(offsets, {}, [size](Index d) { return std::pair(modulo(d, size), d); });
  return offsets;
}

Offsets all_offsets(Index size, bool wrapped) {
  Offsets all;
  for (Index d = wrapped ? 0 : 1 - size; d < size; ++d) all.push_back(d);
  return all;
}

Offsets offsets_before(const Offsets& after, bool wrapped_after, Index size_after, Index f,
                       Index stride, bool wrapped, Index size) {
  std::set<Index> before;
  const auto add = [&](Index D) {
    for (Index r = 1 - f; r < f; ++r) {
      const Index d = stride * f * D + r;
      if (wrapped)
        before.insert(modulo(d, size));
      else if (std::abs(d) < size)
        before.insert(d);
    }
  };
  for (const Index D : after) {
    add(D);
    if (wrapped_after && D > 0) add(D - size_after);
  }
  return {before.begin(), before.end()};
}

std::vector<Target> targets(Index offset, Index size, bool wrapped, Index f, Index stride,
                            const Offsets& after, Index size_after, bool wrapped_after) {
  const Index count = wrapped ? size : size - std::abs(offset);
  std::vector<Target> all(static_cast<std::size_t>(count));
  for (Index k = 0; k < count; ++k) {
    const Index p = wrapped ? k : k + std::max<Index>(0, offset);
    const Index q = wrapped ? modulo(p - offset, size) : p - offset;
    if (p % stride != 0 || q % stride != 0) continue;
    const Index P = p / stride / f, Q = q / stride / f;
    const Index D = wrapped_after ? modulo(P - Q, size_after) : P - Q;
    const auto found = std::ranges::find(after, D);
    if (found == after.end()) continue;
    all[static_cast<std::size_t>(k)] = {found - after.begin(),
                                        wrapped_after ? P : P - std::max<Index>(0, D)};
  }
  return all;
}

}  // namespace mercer::kernel
