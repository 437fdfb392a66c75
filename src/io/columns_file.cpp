#include "mercer/io/columns_file.hpp"

#include <algorithm>

#include "mercer/base/error.hpp"
#include "mercer/comm/together.hpp"

namespace mercer::io {
namespace {

constexpr Index kPanel = 64;

std::string panel_name(const std::string& dataset, Index first) {
  return fmt::format("{}{}", dataset, first / kPanel);
}

/// Throws InputError unless all panels are there, n x m in all. Collective.
void check_panels(const Hdf5File& file, const std::string& dataset, Index n, Index m) {
  for (Index first = 0; first < m; first += kPanel) {
    const Index width = std::min(kPanel, m - first);
    const auto name = panel_name(dataset, first);
    if (file.extents(name) != std::vector<Index>{n, width})
      throw InputError("{}: {} does not have {} x {} numbers", file.path(), name, n, width);
  }
}

}  // namespace

void write_columns(Hdf5File& file, const std::string& dataset, Index n,
                   MatrixView<const double> own) {
  for (Index first = 0; first < own.cols; first += kPanel) {
    const Index width = std::min(kPanel, own.cols - first);
    Matrix<double> rows =
        comm::together(file.comm(), [&] { return Matrix<double>(width, own.rows); });
    for (Index i = 0; i < own.rows; ++i)
      for (Index j = 0; j < width; ++j) rows(j, i) = own(i, first + j);
    file.write<double>(panel_name(dataset, first), n, rows.view());
  }
}

Matrix<double> read_columns(const Hdf5File& file, const std::string& dataset, Index n, Index m) {
  check_panels(file, dataset, n, m);  // before memory is taken
  const dist::RowPartition parts{n, file.comm().size()};
  Matrix<double> own = comm::together(
      file.comm(), [&] { return Matrix<double>(parts.size(file.comm().rank()), m); });
  read_columns(file, dataset, n, own.view());
  return own;
}

void read_columns(const Hdf5File& file, const std::string& dataset, Index n,
                  MatrixView<double> own) {
  for (Index first = 0; first < own.cols; first += kPanel) {
    const Index width = std::min(kPanel, own.cols - first);
    const auto rows = file.read_rows<double>(panel_name(dataset, first), n, width);
    for (Index i = 0; i < own.rows; ++i)
      for (Index j = 0; j < width; ++j) own(i, first + j) = rows.transposed()(j, i);
  }
}

}  // namespace mercer::io
