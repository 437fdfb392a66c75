#include "mercer/krr/cg_file.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/dist/columns_file.hpp"

namespace mercer::krr {

void write(dist::Hdf5File& file, Index n, const CgState& state) {
  const auto number = [](Index x) { return static_cast<double>(x); };
  file.write("/cg/numbers",
             std::vector<double>{number(state.iterations), number(state.replacements),
                                 state.refused, number(state.X.cols()), number(state.Q.cols()),
                                 number(state.P.cols()), number(state.S.rows())});
  file.write("/cg/history", state.history);
  file.write("/cg/S",
             std::span<const double>(state.S.data(), static_cast<std::size_t>(state.S.size())));
  dist::write_columns(file, "/cg/X", n, state.X.view());
  dist::write_columns(file, "/cg/Q", n, state.Q.view());
  dist::write_columns(file, "/cg/P", n, state.P.view());
}

CgState read_cg_state(const dist::Hdf5File& file, Index n) {
  if (!file.contains("/cg/numbers"))
    throw InputError("{}: is no checkpoint of conjugate gradients (no /cg/numbers)", file.path());
  const auto numbers = file.read_vector("/cg/numbers");
  if (numbers.size() != 7)
    throw InputError("{}: /cg/numbers holds {} numbers, not 7", file.path(), numbers.size());
  const auto count = [&](std::size_t i) { return static_cast<Index>(std::llround(numbers[i])); };
  CgState state;
  state.iterations = count(0), state.replacements = count(1), state.refused = numbers[2];
  const Index c = count(3), r = count(4), directions = count(5), rows = count(6);
  state.history = file.read_vector("/cg/history");
  const auto S = file.read_vector("/cg/S");
  if (static_cast<Index>(S.size()) != rows * c)
    throw InputError("{}: /cg/S holds {} numbers, not {} x {}", file.path(), S.size(), rows, c);
  state.S = Matrix<double>(rows, c);
  std::ranges::copy(S, state.S.data());
  state.X = dist::read_columns(file, "/cg/X", n, c);
  state.Q = dist::read_columns(file, "/cg/Q", n, r);
  state.P = dist::read_columns(file, "/cg/P", n, directions);
  return state;
}

}  // namespace mercer::krr
