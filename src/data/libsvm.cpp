// libsvm: "label index:value index:value ...", indices from 1 and increasing, what is left out is
// 0,
// '#' starts a comment.
#include <algorithm>
#include <cmath>

#include "reader.hpp"
#include "text.hpp"

namespace mercer::data {
namespace {

constexpr Index kMostFeatures = 100'000'000;

class LibsvmReader : public Reader {
 public:
  LibsvmReader(const std::string& path, const Request& request) : lines_(path) {
    std::string_view line;
    while (next(line)) {  // to the end even where fewer rows are needed: d is the whole file's

      parse(line, [&](Index index, double) { dimension_ = std::max(dimension_, index); });
      ++rows_;
      if (request.training != nullptr && dimension_ > request.training->dimension)
        throw InputError("{}: row {} (counted from 1) has feature {}, the training set has {}",
                         path, lines_.number(), dimension_, request.training->dimension);
    }
    if (rows_ == 0) throw InputError("{}: the file has no rows", path);
    if (request.max_rows >= 0) rows_ = std::min(rows_, request.max_rows);
    if (request.training != nullptr) dimension_ = request.training->dimension;
    if (dimension_ == 0) throw InputError("{}: no row has a feature (index:value)", path);
    lines_.rewind();
  }

  Contents contents() const override {
    return {.rows = rows_, .dimension = dimension_, .outputs = 1, .image = {}};
  }

  void read(Index first, Index count, double* rows) override {
    std::string_view line;
    if (first < next_) {
      lines_.rewind();
      next_ = 0;
    }
    for (; next_ < first; ++next_) next(line);
    std::fill_n(rows, count * (dimension_ + 1), 0.0);
    for (Index i = 0; i < count; ++i, ++next_) {
      double* row = rows + i * (dimension_ + 1);
      if (!next(line))
        throw InputError("{}: changed while it was read: row {} is gone", lines_.path(), next_ + 1);
      row[dimension_] = parse(line, [&](Index index, double value) {
        if (index <= dimension_) row[index - 1] = value;
      });
    }
  }

 private:
  bool next(std::string_view& line) {
    while (lines_.next(line)) {
      line = trimmed(line.substr(0, line.find('#')));
      if (!line.empty()) return true;
    }
    return false;
  }

  /// Calls take(index, value) for each feature; returns the label.
  template <class Take>
  double parse(std::string_view line, Take&& take) const {
    double label = 0;
    Index last = 0;
    for (Index word = 1; !line.empty(); ++word) {
      const auto end = std::min(line.find_first_of(" \t"), line.size());
      const std::string_view text = line.substr(0, end);
      line = trimmed(line.substr(end));
      if (word == 1) {
        label = number_at(lines_.path(), lines_.number(), word, text);
        continue;
      }
      const auto colon = text.find(':');
      const auto index = parse_whole(text.substr(0, colon));
      if (colon == std::string_view::npos || !index)
        throw InputError(
            "{}: row {}, column {} (counted from 1): {} is not of the form "
            "index:value",
            lines_.path(), lines_.number(), word, quoted(text));
      if (*index <= last)
        throw InputError(
            "{}: row {}, column {} (counted from 1): index {} after {}: indices count "
            "from 1 and increase",
            lines_.path(), lines_.number(), word, *index, last);
      if (*index > kMostFeatures)
        throw InputError(
            "{}: row {}, column {} (counted from 1): index {}: rows are kept dense, and more than "
            "{} "
            "features do not fit",
            lines_.path(), lines_.number(), word, *index, kMostFeatures);
      last = *index;
      take(*index, number_at(lines_.path(), lines_.number(), word, text.substr(colon + 1)));
    }
    return label;
  }

  LineReader lines_;
  Index dimension_ = 0, rows_ = 0, next_ = 0;
};

}  // namespace

std::unique_ptr<Reader> open_libsvm(const Spec& spec, const Request& request) {
  return std::make_unique<LibsvmReader>(spec.path, request);
}

}  // namespace mercer::data
