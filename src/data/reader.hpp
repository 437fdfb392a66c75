#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "mercer/data/dataset.hpp"
#include "spec.hpp"

namespace mercer::data {

/// What a reader finds at its source.
struct Contents {
  Index rows = 0;  ///< at least 1; where they must be counted, at most Request::max_rows
  Index dimension = 0;
  Index outputs = 0;
  ImageShape image = {};  ///< zeros where the format does not tell
  bool classes = false;   ///< the format itself says that targets are labels
  bool everywhere =
      false;  ///< any rank can read any rows cheaply; otherwise rank 0 alone reads, forwards
  std::vector<std::string> input_names = {}, target_names = {};  ///< empty without names
  /// Where the single target column holds names: the value v stands for label_names[v].
  std::vector<std::string> label_names = {};
  std::vector<std::string> notes = {}, warnings = {};  ///< for the user
  CsvColumns csv = {};
  Index libsvm_base = -1;
  friend bool operator==(const Contents&, const Contents&) = default;
};

/// Reads a set as it is stored, before any preparation. Local: one rank's. Everything throws
/// InputError with the file and the row, column or byte.
class Reader {
 public:
  virtual ~Reader() = default;
  virtual Contents contents() const = 0;
  /// Writes rows first ... first + count - 1 to `rows`, each `dimension` inputs followed by
  /// `outputs` targets; all are finite, except that targets which are not known are NaN.
  virtual void read(Index first, Index count, double* rows) = 0;
};

/// What to read, beside the spec itself.
struct Request {
  Index max_rows = -1;  ///< how many first rows are needed; -1: all
  std::string csv_target = {}, csv_header = "auto", csv_index = "auto";  ///< as in Options
  std::uint64_t seed = 0;
  std::uint32_t role = 0;  ///< synthetic: 0 training set, 1 test set
  /// What targets that are not numbers are: an error, names of classes, or left out.
  enum class Text { refused, classes, left_out };
  Text text = Text::refused;
  /// Of a test set, the training set's preparation, which is not owned; null: a training set.
  const Preparation* training = nullptr;
};

/// Opens any spec but h5, which is read collectively (read_hdf5()).
std::unique_ptr<Reader> open_reader(const Spec& spec, const Request& request);

std::unique_ptr<Reader> open_npy(const Spec& spec, const Request& request);
std::unique_ptr<Reader> open_idx(const Spec& spec);
std::unique_ptr<Reader> open_cifar(const Spec& spec, const Request& request);
std::unique_ptr<Reader> open_csv(const std::string& path, const Request& request);
std::unique_ptr<Reader> open_libsvm(const Spec& spec, const Request& request);
std::unique_ptr<Reader> open_synthetic(const Spec& spec, const Request& request);

}  // namespace mercer::data
