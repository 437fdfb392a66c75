#pragma once

#include <cmath>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mercer/comm/communicator.hpp"
#include "mercer/dist/row_block.hpp"

namespace mercer::data {

struct Preparation;

struct ImageShape {
  Index height = 0;
  Index width = 0;
  Index channels = 0;
  friend bool operator==(ImageShape, ImageShape) = default;
};

/// How a set is cut out and prepared, applied in the order of the members: split, limits, augment,
/// scale, standardize, unit_norm, one_hot.
struct Options {
  /// "MASK[:COLUMN]": a CSV file or an array (NPY) with a row for each row of the set; those with 1
  /// or True in this column are the test set. "": no split. COLUMN is a name or a position, as in
  /// csv_target; it may be left out where there is only one. A CSV mask has a header where it has
  /// one line more than the set has rows.
  std::string split = {};
  /// Only so many rows of the training and of the test set, the first ones; -1: all. More than
  /// there are is an error.
  Index limit = -1;
  Index limit_test = -1;
  /// "flip" or "flip:HxWxC": the n training rows, images, are followed by the same images mirrored
  /// left to right, row n + i that of row i, with the same targets. HxWxC: their shape, where the
  /// format does not tell it. "": not. Errors by leave-one-out, generalised cross-validation and
  /// holdout are then too small: the mirror image of a row that is left out stays in.
  std::string augment = {};
  /// Shape of the images that the rows are, where the data itself does not tell it. InputError where
  /// the data tells another one; but an array of L x C numbers a row, which tells L x C x 1, may
  /// hold signals, L x 1 x C.
  std::optional<ImageShape> image = {};
  double scale = 1;          ///< inputs are multiplied by it
  bool standardize = false;  ///< inputs and targets that are not classes, see Standardization
  bool unit_norm = false;  ///< each input row divided by its Euclidean norm; a zero row stays zero
  bool one_hot = false;    ///< labels to one-hot vectors minus 1/classes
  /// CSV's target columns: "" the last, "none", or names of the header and positions from 0 (from
  /// the end where negative), separated by commas: "price", "-1", "y1,y2".
  std::string csv_target = {};
  /// Whether CSV's first row is the header: "yes", "no" or "auto". auto: yes where it has no
  /// number; where it has no name over a first column of whole numbers, but over all others; where
  /// it holds exactly the training set's input names and maybe target names; and where it is 0, 1,
  /// 2, ... over columns that are not all whole numbers, or other growing whole numbers over
  /// columns that have none (these with at least 3 columns). Where 0, 1, 2, ... may be either,
  /// InputError.
  std::string csv_header = "auto";
  /// CSV's column that numbers the rows and is not an input: "none", a name or a position, or
  /// "auto": the first one where the header has no name for it (or pandas' "Unnamed: 0") and it
  /// holds only whole numbers, or only texts that are not numbers.
  std::string csv_index = "auto";
  std::uint64_t seed = 0;  ///< of synthetic sets
  /// Bytes a rank for the rows: MemoryError where they need more, before they are allocated. 0: no
  /// limit.
  double memory_limit = 0;
  /// Whether a training set, or a row of it, without targets is an error. If not, targets are left
  /// as they are read, neither standardised nor one-hot, and targets that are names are left out.
  bool targets_required = true;
  /// Without targets_required: where every training row has targets, prepare them all the same, by
  /// `standardize` and `one_hot`. one_hot then needs them.
  bool prepare_targets = false;
  /// Where set, inputs are prepared with the numbers of this preparation (of a stored network's
  /// training rows, say), whatever `scale`, `standardize` and `unit_norm` are; targets as these
  /// options say. `inputs_from` says in notes and errors where it is from: "W.h5".
  std::shared_ptr<const Preparation> inputs_as = {};
  std::string inputs_from = {};

  /// Throws InputError for limits of 0 or below -1, for scales that are 0, NaN or infinite, for a
  /// split that names no file or an empty column, and for other values of augment and csv_header.
  /// Local.
  void validate() const;
};

/// x -> (x - mean)/deviation for each column, with the training rows' mean and population
/// deviation, of a constant column 1 instead. Vectors are empty where nothing is standardised.
struct Standardization {
  std::vector<double> input_mean, input_deviation;    ///< d
  std::vector<double> target_mean, target_deviation;  ///< c
  friend bool operator==(const Standardization&, const Standardization&) = default;
};

/// The distinct labels of the training rows, ascending: numbers by value, or, where any of them is
/// not a number, names by their bytes.
struct Classes {
  std::vector<std::string>
      names;                   ///< as printed: "virginica", numbers in their shortest form, "-1"
  std::vector<double> values;  ///< the numbers; empty where the classes are names

  Index size() const { return static_cast<Index>(names.size()); }
  bool empty() const { return names.empty(); }
  bool numeric() const { return !values.empty(); }
  /// The index of a label, -1 where it is none of them. Local.
  Index find(double label) const;
  Index find(const std::string& label) const;
  friend bool operator==(const Classes&, const Classes&) = default;
};
/// The classes of labels in any order. Throws InputError for numbers from 2^53 on. Local.
Classes classes_of(std::vector<double> labels);
Classes classes_of(std::vector<std::string> labels);

/// How the columns of a CSV training set were chosen. Those of a test set follow it: by name where
/// both sets have names, else by position. Positions count all columns from 0.
struct CsvColumns {
  std::string header = "auto";  ///< as in Options
  std::string index = "auto";   ///< as in Options
  Index columns = 0;            ///< of the file; 0: the training set was no CSV file
  std::vector<Index> targets;   ///< positions
  Index index_column = -1;      ///< position; -1: none
  /// What the first rows hold in the first column, unless it is the index; counted: n, n + 1, ...
  enum class First { other, whole_numbers, counted };
  First first = First::other;
  friend bool operator==(const CsvColumns&, const CsvColumns&) = default;
};

/// A data set, by rows over the ranks (dist::RowBlock). An image is one row: its pixels row by row,
/// channels last.
struct Dataset {
  dist::RowBlock<double> inputs;  ///< n x d, prepared
  /// n x c, prepared; c = 0 where no row has targets. A test row that lacks one of its targets
  /// counts as without targets: all of them are NaN.
  dist::RowBlock<double> targets;
  Index known_rows = 0;  ///< rows with targets, of all ranks
  /// For each local row the index of its label in `classes`, -1 without target; empty where there
  /// are no classes or no targets.
  std::vector<Index> labels;
  /// Those of the training rows, in training and test set alike, where the format says that targets
  /// are labels (IDX, CIFAR) or one_hot is asked for; else, and without targets_required, empty.
  Classes classes;
  /// For each local row its place among the file's data rows, from 0 (a header is not counted).
  std::vector<Index> file_rows;
  /// A name for each input, and for each target as it was read (one label column, whatever
  /// one_hot); empty where the set has no names.
  std::vector<std::string> input_names, target_names;
  /// Lines for the user, the same on every rank: what was read as what, what was left out, which
  /// columns are constant, targets that look like classes.
  std::vector<std::string> notes;
  /// The same for what is probably a mistake.
  std::vector<std::string> warnings;
  std::optional<ImageShape> image;  ///< where the format tells it
  std::string spec;                 ///< the SPEC as given
  /// Of a training set: the options as given to load(); with inputs_as its scale, standardize and
  /// unit_norm say how inputs were prepared.
  Options reading{};
  /// hash_rows() of the prepared inputs, on which alone the kernel matrix depends, and of the
  /// prepared targets.
  std::uint64_t hash = 0;
  std::uint64_t target_hash = 0;

  Index rows() const { return inputs.rows(); }
  Index dimension() const { return inputs.cols(); }
  Index outputs() const { return targets.cols(); }
  /// Whether the local row i has targets.
  bool known(Index i) const { return outputs() > 0 && !std::isnan(targets.row(i)[0]); }
};

/// How new rows are prepared for a model of the training set, as that set was.
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
  Index libsvm_base =
      -1;  ///< indices of a libsvm training set count from 0 or 1; -1: another format
  Standardization standardization;
  friend bool operator==(const Preparation&, const Preparation&) = default;
};

/// What is done to inputs: "multiplied by 0.5, standardized, divided by their norms"; empty where
/// they are taken as they are. Local.
std::string input_text(const Preparation& preparation);
/// In words, how preparations of one row differ: "inputs are standardized there and taken as they
/// are here"; empty where both give the same inputs and targets. Local.
std::string difference(const Preparation& there, const Preparation& here);

/// Which fields a user has set.
struct InputFields {
  bool scale = false, standardize = false, unit_norm = false;
};
/// Sets inputs_as and inputs_from: inputs are prepared as `there` says, which is from `from`.
/// Throws InputError where one of the fields that are `set` says otherwise. Local.
void take_inputs(Options& options, const Preparation& there, const std::string& from,
                 InputFields set);

/// Dataset::spec of rows that are in no file (of_rows()).
inline constexpr const char* kRowsInMemory = "rows in memory";

/// A line on the training set: "reads 3 inputs a, b, c and the target y from 90 rows". Local.
std::string reading(const Preparation& preparation, Index rows);

/// A training set, maybe a test set, and how both were prepared.
struct Split {
  Dataset train;
  std::optional<Dataset> test;
  Preparation preparation;  ///< with the standardisation of the training rows
};

/// The shape of a set's images, where its format tells it: IDX, CIFAR, NPY and HDF5 with three or
/// four dimensions. Reads a header, no rows. Throws InputError as load(). Collective.
std::optional<ImageShape> image_of(const std::string& spec, const comm::Communicator& comm);

/// Throws InputError where the set's images have another shape than `image`, with `whose` before
/// that shape in the message ("the model takes"); not where the set's format does not tell a shape,
/// nor for signals (Options::image). Local.
void expect_image(const Dataset& set, const ImageShape& image, const std::string& whose);

/// Reads SPEC (see below) and prepares it; with `test_spec` or `options.split` the test set too.
///
///     npy:X.npy[,y.npy]      csv:FILE[.gz]      libsvm:FILE[.gz][,d=D][,base=0|1]
///     h5:FILE:/x[,/y]
///     idx:IMAGES[.gz][,LABELS[.gz]]             cifar:FILE[.gz]
///     circle:n=512,freq=5[,grid][,amplitude=1]  sphere:n=1000,d=10,degree=3  gaussian:n=1000,d=10
///
/// Without a prefix the name tells the format. Any file but HDF5 may be gzipped. CSV: commas,
/// semicolons, tabs or blanks, as the first two rows tell. libsvm: where d=D is left out, d is the
/// largest index of the training file; shorter test rows are padded with zeros, and features that
/// the training set never had are left out. Where base is left out, indices count from 1, or from 0
/// where the training file has an index 0. Images are stored channels last.
///
/// Classes are the distinct labels of the training rows; every label of a test row must be among
/// them. Test rows may lack targets, all of them or those whose fields say so: empty, nan, NA,
/// <NA>, N/A or NULL in text files, NaN in arrays. In CSV files True and False are 1 and 0. Where
/// both sets are CSV files with names, the test set's columns are found by name; otherwise by
/// position, and a test set of exactly d columns has no targets.
///
/// Synthetic sets. circle: points at angles t, target amplitude sin(freq t), d = 2. sphere: points
/// uniform on the unit sphere in R^d, target the zonal harmonic of the given degree about a random
/// direction, of mean square 1. gaussian: x ~ N(0, I), target <x, e> with a random unit vector e.
/// freq and degree are 1 where left out. The test set has other points than the training set of the
/// same spec and seed, and the same target function.
///
/// Collective. Each rank gets its own rows; no rank holds the whole set (HDF5: where rows are left
/// out, each rank reads its share of all rows first). Memory beyond the rows: panels of 8 MiB,
/// three of them on rank 0; a byte for each row of the file; where labels are texts in an array, 8
/// bytes for each on rank 0 (HDF5: on every rank) and, while they are read, all texts on rank 0.
/// Rank 0 reads a file once, in panels that it sends on; of plain NPY, IDX and CIFAR files each
/// rank reads its own rows. CSV, libsvm and gzipped CIFAR files are read twice, because their rows
/// are counted first. Reading stops at the limit, except that all of a libsvm file is looked at.
/// Throws InputError on all ranks, with the file and the row, column (both counted from 1; in text
/// files rows are lines) or byte: missing, empty, truncated, corrupt files, wrong magic, text for a
/// number, NaN and infinity, inputs and targets of different length, test labels that no training
/// row has, a single class with one_hot, limits beyond the set, augment of rows that are no images,
/// images of another shape than options.image or, in the test set, than those of the training set,
/// misspelt SPECs. Throws MemoryError where the rows need more than options.memory_limit.
Split load(const std::string& train_spec, const std::string& test_spec, const Options& options,
           const comm::Communicator& comm);

/// One set whose targets, if it has any, do not matter: for kernels and spectra. Standardises by
/// its own rows, or as options.inputs_as says; `limit` applies, and of a split the training rows
/// are taken. For a second set that is prepared as the first (with other points where it is
/// synthetic) use load() with targets_required = false. Collective. Throws as load(), and
/// InputError for limit_test.
Dataset load_inputs(const std::string& spec, const Options& options,
                    const comm::Communicator& comm);

/// New rows, with targets where they have them, both prepared as a stored model's training set was.
/// Of `options` only split (its test rows are taken), limit_test, the CSV options where they are
/// given, seed and memory_limit count. Collective. Throws as load(), and InputError where the rows
/// have another dimension, other outputs or other classes than the model.
Dataset load_test(const std::string& spec, const Preparation& preparation, const Options& options,
                  const comm::Communicator& comm);

/// A set of rows that a program has in memory, which are not prepared: X n x d and Y n x c by rows
/// over the same ranks, or no targets. A row of Y with a NaN has no targets. Collective (hashes).
/// Throws InputError where X and Y differ in rows, and for inputs that are not finite.
Dataset of_rows(dist::RowBlock<double> X);
Dataset of_rows(dist::RowBlock<double> X, dist::RowBlock<double> Y);
/// A training set, and maybe a test set, that need no preparation. Throws InputError where some
/// training rows lack targets that others have, or where the sets differ in inputs or targets.
/// Local.
Split split_of(Dataset train, std::optional<Dataset> test = {});

/// Converts predictions of standardised targets (m x c) to the targets' own units: y = p deviation
/// + mean, column by column. Does nothing where targets were not standardised. Local.
void to_target_units(const Standardization& standardization, dist::RowBlock<double>& predictions);

/// The hash of rows that load() stores: the sum over the rows of a 64-bit mix of the row's position
/// and values, mixed with the shape. The same for every number of ranks; another one when a value,
/// the order of the rows or the shape changes. Collective.
std::uint64_t hash_rows(const dist::RowBlock<double>& rows);

}  // namespace mercer::data
