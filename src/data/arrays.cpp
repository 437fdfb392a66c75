// NPY and IDX sets: an array of inputs and maybe one of targets.
#include <algorithm>
#include <utility>

#include "array_file.hpp"
#include "classes.hpp"
#include "reader.hpp"
#include "text.hpp"

namespace mercer::data {
namespace {

class ArrayReader : public Reader {
 public:
  ArrayReader(ArrayFile inputs, std::optional<ArrayFile> targets, bool classes)
      : inputs_(std::move(inputs)), targets_(std::move(targets)), classes_(classes && targets_) {
    if (inputs_.layout().texts())
      throw InputError("{}: holds texts: numbers are needed", inputs_.path());
    if (targets_ && targets_->rows() != inputs_.rows())
      throw InputError("{} has {} rows, {} has {}: one target is needed for each", inputs_.path(),
                       inputs_.rows(), targets_->path(), targets_->rows());
  }

  /// Replaces targets that are texts: by codes, or by nothing. Throws InputError where they are
  /// refused.
  void take_texts(const Request& request) {
    if (!targets_ || !targets_->layout().texts()) return;
    ArrayFile labels = *std::exchange(targets_, std::nullopt);
    if (request.text == Request::Text::left_out) {
      notes_.push_back("the targets are names and are left out");
      return;
    }
    const Index rows =
        request.max_rows < 0 ? inputs_.rows() : std::min(request.max_rows, inputs_.rows());
    if (labels.cols() != 1)
      throw InputError("`one_hot`: {} has {} columns of names: one column of labels is needed",
                       labels.path(), labels.cols());
    if (request.text == Request::Text::refused)
      throw InputError("{}: holds names, {} first{}", labels.path(),
                       quoted(labels.read_texts(0, 1)[0]),
                       request.training == nullptr ? ": `one_hot` makes names classes" : "");
    codes_ = coded(labels.read_texts(0, rows), texts_, labels.path());
  }

  Contents contents() const override {
    return {.rows = inputs_.rows(),
            .dimension = inputs_.cols(),
            .outputs = targets_         ? targets_->cols()
                       : codes_.empty() ? 0
                                        : 1,
            .image = inputs_.image(),
            .classes = classes_,
            .everywhere =
                codes_.empty() && !inputs_.compressed() && !(targets_ && targets_->compressed()),
            .label_names = texts_.names(),
            .notes = notes_};
  }

  void read(Index first, Index count, double* rows) override {
    const Index width = inputs_.cols() + (targets_ ? targets_->cols() : codes_.empty() ? 0 : 1);
    inputs_.read(first, count, rows, width);
    if (targets_) targets_->read(first, count, rows + inputs_.cols(), width, true);
    for (Index i = 0; !codes_.empty() && i < count; ++i)
      rows[i * width + inputs_.cols()] = codes_[static_cast<std::size_t>(first + i)];
  }

 private:
  ArrayFile inputs_;
  std::optional<ArrayFile> targets_;
  bool classes_;
  LabelTexts texts_;
  std::vector<double> codes_;  ///< of targets that are texts, one a row
  std::vector<std::string> notes_;
};

}  // namespace

std::unique_ptr<Reader> open_npy(const Spec& spec, const Request& request) {
  std::optional<ArrayFile> targets;
  if (!spec.targets.empty()) targets = ArrayFile::npy(spec.targets);
  auto reader = std::make_unique<ArrayReader>(ArrayFile::npy(spec.path), std::move(targets), false);
  reader->take_texts(request);
  return reader;
}

std::unique_ptr<Reader> open_idx(const Spec& spec) {
  std::optional<ArrayFile> targets;
  if (!spec.targets.empty()) {
    targets = ArrayFile::idx(spec.targets);
    if (targets->layout().shape.size() != 1 || is_float(targets->layout().type))
      throw InputError(
          "{}: is no label file: whole numbers in one dimension are needed, it has {} dimensions",
          spec.targets, targets->layout().shape.size());
  }
  return std::make_unique<ArrayReader>(ArrayFile::idx(spec.path), std::move(targets), true);
}

}  // namespace mercer::data
