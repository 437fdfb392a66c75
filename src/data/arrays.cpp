// NPY and IDX sets: an array of inputs and, maybe, one of targets.
#include "array_file.hpp"
#include "reader.hpp"

namespace mercer::data {
namespace {

class ArrayReader : public Reader {
 public:
  ArrayReader(ArrayFile inputs, std::optional<ArrayFile> targets, bool classes)
      : inputs_(std::move(inputs)), targets_(std::move(targets)), classes_(classes && targets_) {
    if (targets_ && targets_->rows() != inputs_.rows())
      throw InputError("{} has {} rows, {} has {}: one target is needed for each", inputs_.path(),
                       inputs_.rows(), targets_->path(), targets_->rows());
  }

  Contents contents() const override {
    return {.rows = inputs_.rows(),
            .dimension = inputs_.cols(),
            .outputs = targets_ ? targets_->cols() : 0,
            .image = inputs_.image(),
            .classes = classes_,
            .everywhere = !inputs_.compressed() && !(targets_ && targets_->compressed())};
  }

  void read(Index first, Index count, double* rows) override {
    const Index width = inputs_.cols() + (targets_ ? targets_->cols() : 0);
    inputs_.read(first, count, rows, width);
    if (targets_) targets_->read(first, count, rows + inputs_.cols(), width);
  }

 private:
  ArrayFile inputs_;
  std::optional<ArrayFile> targets_;
  bool classes_;
};

}  // namespace

std::unique_ptr<Reader> open_npy(const Spec& spec) {
  std::optional<ArrayFile> targets;
  if (!spec.targets.empty()) targets = ArrayFile::npy(spec.targets);
  return std::make_unique<ArrayReader>(ArrayFile::npy(spec.path), std::move(targets), false);
}

std::unique_ptr<Reader> open_idx(const Spec& spec) {
  std::optional<ArrayFile> targets;
  if (!spec.targets.empty()) {
    targets = ArrayFile::idx(spec.targets);
    if (targets->layout().shape.size() != 1 || is_float(targets->layout().type))
      throw InputError(
          "{}: is no label file: whole numbers in one dimension are needed, it has {} "
          "dimensions",
          spec.targets, targets->layout().shape.size());
  }
  return std::make_unique<ArrayReader>(ArrayFile::idx(spec.path), std::move(targets), true);
}

}  // namespace mercer::data
