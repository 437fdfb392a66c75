#include "mercer/krr/cg_file.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/io/columns_file.hpp"

namespace mercer::krr {

void write(io::Hdf5File& file, Index n, const CgState& state) {
  const auto number = [](Index x) { return static_cast<double>(x); };
  file.write("/cg/numbers",
             std::vector<double>{number(state.iterations), number(state.replacements),
                                 state.refused, number(state.X.cols()), number(state.Q.cols()),
                                 number(state.P.cols()), number(state.S.rows())});
  file.write("/cg/history", state.history);
  file.write("/cg/S",
             std::span<const double>(state.S.data(), static_cast<std::size_t>(state.S.size())));
  io::write_columns(file, "/cg/X", n, state.X.view());
  io::write_columns(file, "/cg/Q", n, state.Q.view());
  io::write_columns(file, "/cg/P", n, state.P.view());
}

CgState read_cg_state(const io::Hdf5File& file, Index n, Index outputs) {
  constexpr Index kMost = io::kMostCount;
  if (!file.contains("/cg/numbers"))
    throw InputError("{}: is not a checkpoint of conjugate gradients (no /cg/numbers)",
                     file.path());
  if (file.extents("/cg/numbers") != std::vector<Index>{7})
    throw InputError("{}: /cg/numbers does not hold 7 numbers", file.path());
  const auto numbers = file.read_vector("/cg/numbers");  // the third may be infinite
  const auto count = [&](std::size_t i, const char* what, Index least, Index most) {
    return io::whole_number(file, fmt::format("/cg/numbers: {}", what), numbers[i], least, most);
  };
  CgState state;
  state.iterations = count(0, "iterations", 0, kMost);
  state.replacements = count(1, "replacements", 0, kMost);
  state.refused = numbers[2];
  if (!(state.refused >= 0))
    throw InputError("{}: /cg/numbers: a residual is {}", file.path(), state.refused);
  const Index c = count(3, "columns of X", outputs, outputs);
  const Index r = count(4, "columns of Q", 0, c), directions = count(5, "columns of P", 0, kMost);
  count(6, "rows of S", r, r);
  state.history = file.read_finite("/cg/history", state.iterations);
  const auto S = file.read_finite("/cg/S", r * c);
  state.S = Matrix<double>(r, c);
  std::ranges::copy(S, state.S.data());
  state.X = io::read_columns(file, "/cg/X", n, c);
  state.Q = io::read_columns(file, "/cg/Q", n, r);
  state.P = io::read_columns(file, "/cg/P", n, directions);
  return state;
}

}  // namespace mercer::krr
