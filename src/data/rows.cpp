#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "mercer/comm/together.hpp"
#include "mercer/data/dataset.hpp"

namespace mercer::data {

using dist::RowBlock;

Dataset of_rows(RowBlock<double> X) {
  RowBlock<double> none(X.comm(), X.rows(), 0);
  return of_rows(std::move(X), std::move(none));
}

Dataset of_rows(RowBlock<double> X, RowBlock<double> Y) {
  const auto& comm = X.comm();
  if (Y.rows() != X.rows())
    throw InputError("{} rows of inputs and {} of targets", X.rows(), Y.rows());
  comm::agree_or_throw(comm,
                       std::ranges::all_of(X.values(), [](double x) { return std::isfinite(x); }),
                       ExitCode::bad_input, "the inputs hold a NaN or an infinity");
  Dataset set;
  Index known = 0;
  for (Index i = 0; i < Y.local_rows() && Y.cols() > 0; ++i) {
    const auto row = Y.row(i);
    const bool whole = std::ranges::none_of(row, [](double y) { return std::isnan(y); });
    if (!whole) std::ranges::fill(row, std::numeric_limits<double>::quiet_NaN());
    known += whole ? 1 : 0;
  }
  set.known_rows = comm.all_reduce(known, comm::Op::sum);
  set.file_rows.resize(static_cast<std::size_t>(X.local_rows()));
  std::iota(set.file_rows.begin(), set.file_rows.end(), X.first_row());
  set.spec = kRowsInMemory;
  set.hash = hash_rows(X);
  set.target_hash = hash_rows(Y);
  set.inputs = std::move(X);
  set.targets = std::move(Y);
  return set;
}

Split split_of(Dataset train, std::optional<Dataset> test) {
  if (train.outputs() > 0 && train.known_rows < train.rows())
    throw InputError("{} of {} training rows have no targets", train.rows() - train.known_rows,
                     train.rows());
  if (test.has_value() && test->dimension() != train.dimension())
    throw InputError("training rows have {} inputs, test rows {}", train.dimension(),
                     test->dimension());
  if (test.has_value() && test->outputs() > 0 && test->outputs() != train.outputs())
    throw InputError("training rows have {} targets, test rows {}", train.outputs(),
                     test->outputs());
  Split split{.train = std::move(train), .test = std::move(test), .preparation = {}};
  split.preparation.train = split.train.spec;
  split.preparation.dimension = split.train.dimension();
  split.preparation.outputs = split.train.outputs();
  return split;
}

}  // namespace mercer::data
