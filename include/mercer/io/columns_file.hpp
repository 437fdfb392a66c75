#pragma once

#include <string>

#include "mercer/io/hdf5.hpp"

namespace mercer::io {

/// Writes an n x m block of vectors, of which every rank holds its rows (dist::RowPartition of n)
/// as a column-major matrix, as gram::Operator takes them. The datasets are DATASET0, DATASET1,
/// ..., n x 64 each, the last one narrower; none where m = 0. Collective. Memory: 64 columns of
/// this rank's rows.
void write_columns(Hdf5File& file, const std::string& dataset, Index n,
                   MatrixView<const double> own);
/// Reads this rank's rows of the n x m block that write_columns() wrote, equal to the bit. Throws
/// InputError where it is missing, of another shape or not finite. Collective.
Matrix<double> read_columns(const Hdf5File& file, const std::string& dataset, Index n, Index m);
/// The same into `own`, with m = own.cols. Collective.
void read_columns(const Hdf5File& file, const std::string& dataset, Index n,
                  MatrixView<double> own);

}  // namespace mercer::io
