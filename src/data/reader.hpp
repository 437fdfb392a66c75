#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "mercer/data/dataset.hpp"
#include "spec.hpp"

namespace mercer::data {

/// What a reader finds at its source: the same numbers on every rank.
struct Contents {
  Index rows = 0;  ///< at least 1; stops at Request::max_rows
  Index dimension = 0;
  Index outputs = 0;
  ImageShape image = {};  ///< zeros where the format does not tell
  bool classes = false;   ///< the targets are labels by the format itself
  bool everywhere =
      false;  ///< any rank may read any rows cheaply; otherwise only rank 0 reads, forwards
  std::vector<std::string> input_names = {}, target_names = {};  ///< empty without names
  /// Where the single target column holds names: its value v stands for label_names[v].
  std::vector<std::string> label_names = {};
  std::vector<std::string> notes = {}, warnings = {};  ///< for the user
  CsvColumns csv = {};
  Index libsvm_base = -1;
  friend bool operator==(const Contents&, const Contents&) = default;
};

/// A set as it is stored, before any preparation. Local: knows nothing of ranks. Everything throws
/// InputError with the file and the row, column or byte.
class Reader {
 public:
  virtual ~Reader() = default;
  virtual Contents contents() const = 0;
  /// Rows first ... first + count - 1, each `dimension` inputs followed by `outputs` targets, all
  /// finite but for targets that are not known: NaN.
  virtual void read(Index first, Index count, double* rows) = 0;
};

/// What to read, beside the spec itself.
struct Request {
  Index max_rows = -1;  ///< no more than these are needed; -1: all
  std::string csv_target = {}, csv_header = "auto", csv_index = "auto";  ///< as in Options
  std::uint64_t seed = 0;
  std::uint32_t role = 0;  ///< synthetic: 0 training set, 1 test set
  /// Targets that are no numbers: an error, names of classes, or left out.
  enum class Text { refused, classes, left_out };
  Text text = Text::refused;
  /// What the training set had; null: this is the training set.
  const Preparation* training = nullptr;
};

/// Any spec but h5, which is read collectively.
std::unique_ptr<Reader> open_reader(const Spec& spec, const Request& request);

std::unique_ptr<Reader> open_npy(const Spec& spec, const Request& request);
std::unique_ptr<Reader> open_idx(const Spec& spec);
std::unique_ptr<Reader> open_cifar(const Spec& spec, const Request& request);
std::unique_ptr<Reader> open_csv(const std::string& path, const Request& request);
std::unique_ptr<Reader> open_libsvm(const Spec& spec, const Request& request);
std::unique_ptr<Reader> open_synthetic(const Spec& spec, const Request& request);

}  // namespace mercer::data
