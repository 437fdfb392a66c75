#pragma once

#include <cmath>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mercer/comm/communicator.hpp"
#include "mercer/dist/row_block.hpp"

namespace mercer::data {

/// How a set is cut out and prepared, applied in the order of the members: split, limits, scale,
/// standardize, unit_norm, one_hot.
struct Options {
  /// "MASK[:COLUMN]": rows with 1 or True in this column of a CSV file, or array (NPY), of as many
  /// rows are the test set; "" none. COLUMN is a name or a position, as those of csv_target; it may
  /// be left out where there is one. A CSV mask has a header where it has one line more than the
  /// set has rows.
  std::string split = {};
  Index limit = -1;       ///< the first rows of the training set; -1: all; an error beyond the set
  Index limit_test = -1;  ///< the first rows of the test set; -1: all
  double scale = 1;       ///< inputs times this
  bool standardize = false;
  bool unit_norm = false;
  bool one_hot = false;
  /// CSV's target columns: "" the last, "none", or names of the header and positions from 0 (from
  /// the end where negative), separated by commas: "price", "-1", "y1,y2".
  std::string csv_target = {};
  /// Whether CSV's first row is the header: "yes", "no", or "auto": where it has no number; where
  /// nothing stands over a column of whole numbers; where it has names of the training set alone;
  /// or where it is 0, 1, 2, ... over columns that are not all whole numbers, or other growing
  /// whole numbers over columns that have none.
  std::string csv_header = "auto";
  /// CSV's column that numbers the rows and is no input: "none", a name or a position, or "auto":
  /// the first one where the header has no name for it (or pandas' "Unnamed: 0") and it holds
  /// whole numbers, or nothing that is a number.
  std::string csv_index = "auto";
  std::uint64_t seed = 0;  ///< of synthetic sets
  /// Bytes a rank for the rows; more are refused before they are allocated. 0: no limit.
  double memory_limit = 0;
  /// A training set, or a row of it, without targets is an error. Where cleared, targets are left
  /// as they are read, neither standardised nor one-hot, and names of classes are no targets.
  bool targets_required = true;

  /// Throws InputError for limits of 0 or below -1, for scales that are 0, NaN or infinite and for
  /// other values of csv_header. Local.
  void validate() const;
};

struct ImageShape {
  Index height = 0;
  Index width = 0;
  Index channels = 0;
  friend bool operator==(ImageShape, ImageShape) = default;
};

/// x -> (x - mean)/deviation for each column, with the training rows' mean and population
/// deviation; 1 stands for the deviation of a constant column. Vectors are empty where nothing is
/// standardised.
struct Standardization {
  std::vector<double> input_mean, input_deviation;
  std::vector<double> target_mean, target_deviation;
  friend bool operator==(const Standardization&, const Standardization&) = default;
};

/// The distinct labels of the training rows, ascending: numbers by value, or, where any of them is
/// no number, names by their bytes.
struct Classes {
  std::vector<std::string>
      names;                   ///< as printed: "virginica", numbers in their shortest form, "-1"
  std::vector<double> values;  ///< the numbers; empty where the classes are names

  Index size() const { return static_cast<Index>(names.size()); }
  bool empty() const { return names.empty(); }
  bool numeric() const { return !values.empty(); }
  /// The class of a label, -1 where there is none. Local.
  Index find(double label) const;
  Index find(const std::string& label) const;
  friend bool operator==(const Classes&, const Classes&) = default;
};
/// Of distinct labels in any order. Local.
Classes classes_of(std::vector<double> labels);
Classes classes_of(std::vector<std::string> labels);

/// How the columns of a CSV training set were chosen, which the columns of a test set follow: by
/// name where both have names, else by position. Positions count all columns from 0.
struct CsvColumns {
  std::string header = "auto";  ///< as in Options
  std::string index = "auto";   ///< as in Options
  Index columns = 0;            ///< of the file; 0: the training set was no CSV file
  std::vector<Index> targets;
  Index index_column = -1;  ///< -1: none
  /// What the first column holds in the first rows, where it is no index.
  enum class First { other, whole_numbers, counted };
  First first = First::other;
  friend bool operator==(const CsvColumns&, const CsvColumns&) = default;
};

/// Rows on the ranks. An image is one row, row by row of the picture, channels last.
struct Dataset {
  dist::RowBlock<double> inputs;  ///< n x d, prepared
  /// n x c, prepared; c = 0 where no row has targets. A row of a test set that lacks one of its
  /// targets has none: NaN.
  dist::RowBlock<double> targets;
  Index known_rows = 0;  ///< rows with targets, of all ranks
  /// Of the local rows, the index into `classes`, -1 without target; empty where there are no
  /// classes or no targets.
  std::vector<Index> labels;
  /// Of the training rows, for training and test set alike: where the format says that targets are
  /// labels (IDX, CIFAR) or one_hot is asked for; else empty.
  Classes classes;
  /// Of the local rows, their place among the file's data rows, from 0 (a header is not counted).
  std::vector<Index> file_rows;
  /// One for each input and each target as read (one label column before one_hot); empty where the
  /// set has no names.
  std::vector<std::string> input_names, target_names;
  /// Lines for the user, the same on every rank: what was read as what, what was set aside, which
  /// columns are constant, targets that look like classes.
  std::vector<std::string> notes;
  /// The same, of what may well be wrong.
  std::vector<std::string> warnings;
  std::optional<ImageShape> image;  ///< where the format tells
  std::string spec;                 ///< as given
  /// Of the prepared inputs alone, which the kernel matrix depends on, and of the prepared targets:
  /// the same for every number of ranks, others when a value, the order of the rows or the shape
  /// changes.
  std::uint64_t hash = 0;
  std::uint64_t target_hash = 0;

  Index rows() const { return inputs.rows(); }
  Index dimension() const { return inputs.cols(); }
  Index outputs() const { return targets.cols(); }
  /// Of a local row: has it targets?
  bool known(Index i) const { return outputs() > 0 && !std::isnan(targets.row(i)[0]); }
};

/// What has to be done to new rows before a model of the training set sees them.
struct Preparation {
  std::string train = {};  ///< SPEC of the training set
  double scale = 1;
  bool unit_norm = false;
  bool one_hot = false;
  Index dimension = 0;  ///< d of the training set
  Index outputs = 0;    ///< c of the training set
  Classes classes;
  std::vector<std::string> input_names, target_names;  ///< of the training set
  std::string csv_target;                              ///< as in Options
  CsvColumns csv;
  Index libsvm_base = -1;  ///< the smallest index of a libsvm training set counts 0 or 1; -1: none
  Standardization standardization;
  friend bool operator==(const Preparation&, const Preparation&) = default;
};

/// The SPEC of rows that no file has (of_rows()).
inline constexpr const char* kRowsInMemory = "rows in memory";

/// What the training set was: "reads 3 inputs a, b, c and the target y from 90 rows". Local.
std::string reading(const Preparation& preparation, Index rows);

struct Split {
  Dataset train;
  std::optional<Dataset> test;
  Preparation preparation;  ///< with the standardisation of the training rows
};

/// Reads SPEC (see below) and prepares it; with `test_spec` or `options.split` the test set too.
///
///     npy:X.npy[,y.npy]      csv:FILE[.gz]      libsvm:FILE[.gz][,d=D][,base=0|1] h5:FILE:/x[,/y]
///     idx:IMAGES[.gz][,LABELS[.gz]]             cifar:FILE[.gz]
///     circle:n=512,freq=5[,grid][,amplitude=1]  sphere:n=1000,d=10,degree=3  gaussian:n=1000,d=10
///
/// Without prefix the format is found from the name. Any file but HDF5 may be gzipped. CSV: commas,
/// semicolons, tabs or blanks, found out from the first two rows. libsvm: d is the largest index of
/// the training file, shorter test rows are padded with zeros, and features that the training set
/// never had are left out; indices count from 1, or from 0 where the training file has an index 0.
/// Images are kept channels last.
///
/// Classes are the distinct labels of the training rows; a label of a test row is among them. Test
/// rows may be without targets, all of them or those whose fields say so: empty, nan, NA, <NA>, N/A
/// or NULL in text files, NaN in arrays. In CSV files True and False are 1 and 0. Where both sets
/// are CSV files with names, the test set's columns are found by name; otherwise by position, and a
/// test set of exactly d columns has no targets.
///
/// Synthetic targets: circle: amplitude sin(freq t) at angle t; sphere: points uniform on the unit
/// sphere in R^d, the zonal harmonic of the given degree about a random direction, of mean square
/// 1; gaussian: x ~ N(0, I), <x, e> with a random direction e. freq and degree are 1 where left
/// out. The test set has other points than the training set of the same spec and seed, and the
/// same target function.
///
/// Collective. Each rank gets its own rows; no rank holds the set (HDF5: beside its rows, its share
/// of the whole dataset where rows are left out). Memory beyond the rows: panels of 8 MiB, three of
/// them on rank 0, and one byte for each row of the file. Files are read once, by rank 0 in panels
/// that it sends on, or, plain NPY, IDX and CIFAR files, by each rank for its own rows; CSV, libsvm
/// and gzipped CIFAR files twice, because their rows are counted first. Reading stops at the limit.
/// Throws InputError on all ranks, with the file and the row, column (both counted from 1; in text
/// files rows are lines) or byte: missing, empty, truncated, corrupt files, wrong magic, text for a
/// number, NaN and infinity, inputs and targets of different length, test labels that no training
/// row has, a single class with one_hot, limits beyond the set, misspelt SPECs. Throws MemoryError
/// where the rows need more than options.memory_limit.
Split load(const std::string& train_spec, const std::string& test_spec, const Options& options,
           const comm::Communicator& comm);

/// One set whose targets, if it has any, are beside the point: for kernels and spectra.
/// Standardises by its own rows; `limit` applies, and of a split the training rows are taken. A
/// second set that must be prepared as the first, with other points where it is synthetic, comes
/// from load() with targets_required = false. Collective; throws as load.
Dataset load_inputs(const std::string& spec, const Options& options,
                    const comm::Communicator& comm);

/// New rows, prepared as a stored model's training set was, with targets where they have them,
/// prepared too: of `options` only split (its test rows), limit_test, the CSV options where they
/// are given, seed and memory_limit count. Collective; throws as load, and where the rows have
/// another dimension, other outputs or other classes than the model.
Dataset load_test(const std::string& spec, const Preparation& preparation, const Options& options,
                  const comm::Communicator& comm);

/// Rows that a program has in memory, on its ranks, as they stand: X n x d and Y n x c over the
/// same ranks, or no targets. A row of Y with a NaN has none. Collective: hashes. Throws InputError
/// for other numbers of rows, and for inputs that are not finite.
Dataset of_rows(dist::RowBlock<double> X);
Dataset of_rows(dist::RowBlock<double> X, dist::RowBlock<double> Y);
/// A training set, and a test set where there is one, that need no preparation. Throws InputError
/// where a training row has no targets, or the sets do not fit each other.
Split split_of(Dataset train, std::optional<Dataset> test = {});

/// Predictions of standardised targets, back in the targets' own units: y = p deviation + mean,
/// column by column; nothing where targets were not standardised. Local.
void to_target_units(const Standardization& standardization, dist::RowBlock<double>& predictions);

/// The hash that load() stores, of rows as they stand: the sum over the rows of a 64-bit mix of the
/// row's position and values. Collective.
std::uint64_t hash_rows(const dist::RowBlock<double>& rows);

}  // namespace mercer::data
