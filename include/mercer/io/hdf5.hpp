#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mercer/dist/dist_matrix.hpp"
#include "mercer/dist/row_block.hpp"

namespace mercer::io {

/// Version of the HDF5 library that is loaded, "1.10.8". Local.
std::string hdf5_version();

/// Who may have written a file.
enum class Origin {
  anyone,  ///< data sets, kernel matrices, weights: verified where they have a checksum
  mercer,  ///< models, spectra, checkpoints: refused without a checksum
};

/// A parallel HDF5 file: plain row-major datasets, chunked by whole rows (about 1 MiB), that h5py
/// opens without Mercer; texts are attributes that h5py shows as str. Every member function is
/// collective over the file's communicator unless it says otherwise; an error on one rank throws on
/// all (InputError for files that are read, RunError for files that are written). HDF5 itself
/// prints nothing.
///
/// A file is written through MPI-IO in collective hyperslabs, the same number on every rank: of at
/// most 256 MiB for matrices and row blocks (HDF5 1.10's independent writes fail above 2 GB a
/// rank). Matrices are staged by panels of rows in less than 64 MiB a rank. The space is claimed
/// first, so that a full disk or quota is found before the ranks meet inside MPI-IO, where one
/// rank's failure would leave the others waiting. A file that is read is opened by every rank on
/// its own, and each reads its rows.
///
/// Every file that is written gets a checksum (io/checksum.hpp), which open() verifies before HDF5
/// opens the file. A file of another program has none. Where HDF5 then searches damaged metadata
/// for ever, the run ends with one line and exit code 2; damage that makes HDF5 itself crash ends
/// the run with a signal.
///
/// Datasets are checked before memory is taken for them. Errors that name file and dataset are:
/// extents whose product overflows, and, in verified files, datasets that hold less than they claim
/// or keep it in other files (virtual ones, external storage).
///
/// A file is written under a temporary name beside its path (io/temporary.hpp), which no other run
/// has; finish() flushes, adds the checksum (reading the file once, each rank its share), syncs and
/// renames. A file that is destroyed unfinished is removed: nothing half-written is ever left. The
/// destructor is collective.
class Hdf5File {
 public:
  /// Opens for reading. Throws InputError: missing, empty, not HDF5, truncated, damaged, changed
  /// after Mercer wrote it, or without a checksum where `origin` is mercer.
  static Hdf5File open(const comm::Communicator& comm, const std::string& path,
                       Origin origin = Origin::anyone);
  /// Starts a new file, which replaces the one at `path` when it is finished. Throws InputError
  /// where `path` cannot be written to, or is not on a file system that all ranks share.
  static Hdf5File create(const comm::Communicator& comm, const std::string& path);
  Hdf5File(Hdf5File&&) noexcept;
  Hdf5File& operator=(Hdf5File&&) noexcept;
  ~Hdf5File();
  /// Completes and renames the file, as above. Throws RunError.
  void finish();
  /// Local, as is comm().
  const std::string& path() const;
  const comm::Communicator& comm() const;
  /// Whether a file that is read has a checksum. Local.
  bool verified() const;

  /// Whether there is an object of this name, a dataset or a group.
  bool contains(const std::string& dataset) const;
  /// Extents of a numeric dataset (any rank >= 1). Throws InputError if absent or not numeric.
  std::vector<Index> extents(const std::string& dataset) const;

  /// The unit roundoff of a dataset's type: 2^-53 for float64, 2^-24 for float32, 2^-11 for
  /// float16; 0 for integers. Throws as extents().
  double rounding(const std::string& dataset) const;

  /// Whether a dataset holds texts, of fixed or of variable length; false where there is none.
  bool holds_texts(const std::string& dataset) const;
  /// The texts of a dataset, on rank 0 in C order, none on the others. Throws InputError if absent,
  /// not of texts, or not `count` of them (-1: any number).
  std::vector<std::string> read_texts(const std::string& dataset, Index count = -1) const;

  /// Writes a 1-D dataset; every rank passes the same values, and rank 0's are written.
  void write(const std::string& dataset, std::span<const double> values);
  /// Reads a numeric dataset of any rank onto all ranks, in C order.
  std::vector<double> read_vector(const std::string& dataset) const;
  /// The same of exactly `length` numbers, each of them finite. Throws InputError.
  std::vector<double> read_finite(const std::string& dataset, Index length) const;
  /// A dataset of one number, which is finite. Throws InputError.
  double read_number(const std::string& dataset) const;
  /// Writes a 1-D dataset of UTF-8 texts, the same on all ranks, padded with zeros to one length
  /// (HDF5 writes texts of any length on one process only): h5py shows them by dataset.asstr()[()].
  void write(const std::string& dataset, std::span<const std::string> texts);
  /// Writes a 1-D dataset of n whole numbers, of which this rank holds those of its rows
  /// (dist::RowPartition of n).
  void write(const std::string& dataset, Index n, std::span<const Index> own);
  /// Writes a 2-D dataset whose type follows T: double, float; for row blocks also Index.
  template <class T>
  void write(const std::string& dataset, const dist::DistMatrix<T>& A);
  template <class T>
  void write(const std::string& dataset, const dist::RowBlock<T>& rows);
  /// Writes n x own.rows, of which this rank holds its rows (dist::RowPartition of n) as the
  /// columns of `own`, which are contiguous (ld = rows): RowBlock::transposed(), or a matrix laid
  /// out alike. `row`: the extents of a row, whose product is own.rows, where it has more than one.
  template <class T>
  void write(const std::string& dataset, Index n, MatrixView<const T> own,
             std::span<const Index> row = {});
  /// Reads a dataset of the matrix's extents (1-D counts as one column) into A, converting to T.
  /// Throws InputError for other extents.
  template <class T>
  void read(const std::string& dataset, dist::DistMatrix<T>& A) const;
  /// Reads a dataset of any rank as rows x (product of the other extents), converting to T.
  template <class T>
  dist::RowBlock<T> read_rows(const std::string& dataset) const;
  /// The same, which must be `rows` x `cols` finite numbers. Throws InputError.
  template <class T>
  dist::RowBlock<T> read_rows(const std::string& dataset, Index rows, Index cols) const;

  /// Writes a 3-D dataset, blocks x rows x columns: one or more row blocks, of one shape each
  /// (otherwise RunError).
  void write_stack(const std::string& dataset, std::span<const dist::RowBlock<double>> blocks);

  /// Writes an attribute of an object ("/" or a dataset's path), with rank 0's value, in place of
  /// one of that name.
  void attribute(const std::string& object, const std::string& name, const std::string& value);
  void attribute(const std::string& object, const std::string& name, double value);
  void attribute(const std::string& object, const std::string& name, Index value);
  bool has_attribute(const std::string& object, const std::string& name) const;
  /// On all ranks. Throws InputError where the attribute is absent, or not one text or number.
  std::string text_attribute(const std::string& object, const std::string& name) const;
  double number_attribute(const std::string& object, const std::string& name) const;
  /// The same, which must be finite, or a whole number in least ... most. Throws InputError.
  double finite_attribute(const std::string& object, const std::string& name) const;
  Index count_attribute(const std::string& object, const std::string& name, Index least,
                        Index most) const;

 private:
  struct State;
  explicit Hdf5File(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// `value`, which `file` holds under `name`, as a whole number. Throws InputError unless it is one
/// in least ... most. Local.
Index whole_number(const Hdf5File& file, const std::string& name, double value, Index least,
                   Index most);
/// Throws InputError unless all numbers of `own`, this rank's part of what `file` holds under
/// `name`, are finite on every rank. Collective.
template <class T>
void require_finite(const Hdf5File& file, const std::string& name, std::span<const T> own);

/// More than any count in a file; sums and products of two such counts do not overflow.
inline constexpr Index kMostCount = Index{1} << 31;

}  // namespace mercer::io
