// libsvm: "label [qid:Q] index:value index:value ...". Indices increase, from 1 or from 0; features
// that are left out are 0; '#' starts a comment.
#include <algorithm>
#include <cmath>
#include <limits>

#include "reader.hpp"
#include "text.hpp"

namespace mercer::data {
namespace {

/// A larger index is taken for a typing error, since the largest one sets d.
constexpr Index kLargestIndex = Index{1} << 48;

class LibsvmReader : public Reader {
 public:
  LibsvmReader(const Spec& spec, const Request& request) : lines_(spec.path) {
    std::string_view line;
    Index least = std::numeric_limits<Index>::max(), largest = -1, largest_row = 0;
    Index rows = 0, least_row = 0;
    while (next(line)) {  // to the end even where fewer rows are needed: all of them set d
      ++rows;
      const bool labelled = parse(line, nullptr, [&](Index index, double) {
        if (index < least) least = index, least_row = lines_.number();
        if (index > largest) largest = index, largest_row = lines_.number();
      });
      if (rows == 1) labelled_ = labelled;
      if (labelled != labelled_)
        throw InputError(
            "{}: row {} (counted from 1) has {}: give every row a label, or none (nan stands for "
            "one that is not known)",
            spec.path, lines_.number(),
            labelled ? "a label, the rows before it have none" : "no label");
    }
    if (rows == 0) throw InputError("{}: the file has no rows", spec.path);
    contents_.rows = request.max_rows >= 0 ? std::min(rows, request.max_rows) : rows;
    contents_.outputs = labelled_ ? 1 : 0;
    find_base(spec, request, least, least_row);
    find_dimension(spec, request, least, largest, largest_row);
    if (queries_) contents_.notes.push_back("the query identifiers (qid) are left out");
    lines_.rewind();
  }

  Contents contents() const override { return contents_; }

  void read(Index first, Index count, double* rows) override {
    std::string_view line;
    if (first < next_) {
      lines_.rewind();
      next_ = 0;
    }
    for (; next_ < first; ++next_) next(line);
    const Index width = contents_.dimension + contents_.outputs;
    std::fill_n(rows, count * width, 0.0);
    for (Index i = 0; i < count; ++i, ++next_) {
      double* row = rows + i * width;
      if (!next(line))
        throw InputError("{}: changed while it was read: row {} is gone", lines_.path(), next_ + 1);
      double label = 0;
      parse(line, &label, [&](Index index, double value) {
        if (index - base_ < contents_.dimension) row[index - base_] = value;
      });
      if (labelled_) row[contents_.dimension] = label;
    }
  }

 private:
  /// Sets base_: what the specification says, else the training set's, else 0 where an index 0 was
  /// found and 1 where not.
  void find_base(const Spec& spec, const Request& request, Index least, Index least_row) {
    const Index known = request.training != nullptr ? request.training->libsvm_base : -1;
    if (spec.values.contains("base"))
      base_ = spec.whole("base", 0, 0);
    else
      base_ = known >= 0 ? known : least == 0 ? 0 : 1;
    contents_.libsvm_base = base_;
    if (least < base_)
      throw InputError(
          "{}: row {} (counted from 1) has the index 0, {} count from 1 (base=0 after the file's "
          "name makes them count from 0)",
          spec.path, least_row,
          known == 1 ? "the training set's indices" : "by base=1 its indices");
    if (base_ == 0)
      contents_.notes.push_back("indices count from 0");
    else if (known < 0 && !spec.values.contains("base"))
      contents_.notes.push_back(
          "indices are taken to count from 1, for none is 0 (base=0 after the file's name makes "
          "them count from 0)");
  }

  /// Sets the dimension: the training set's, else what the specification says, else what the
  /// largest index needs.
  void find_dimension(const Spec& spec, const Request& request, Index least, Index largest,
                      Index largest_row) {
    const Index found = largest < 0 ? 0 : largest - base_ + 1;
    Index& d = contents_.dimension;
    d = spec.values.contains("d") ? spec.whole("d", 1, 1) : found;
    if (found > d)
      throw InputError("{}: row {} (counted from 1) has the index {}, beyond d = {}", spec.path,
                       largest_row, largest, d);
    if (request.training != nullptr) {
      d = request.training->dimension;
      // Counted from 1 it would fit: the two files probably count from different numbers.
      if (base_ == 0 && least > 0 && found == d + 1 && !spec.values.contains("base"))
        throw InputError(
            "{}: its indices go from {} to {}, those of the training set from 0 to {}: say by "
            "base=1 after the file's name that they count from 1, or by base=0 that they do not",
            spec.path, least, largest, d - 1);
      if (found > d)
        contents_.notes.push_back(fmt::format(
            "the features beyond index {} are left out: no training row has them", d - 1 + base_));
    }
    if (d == 0) throw InputError("{}: no row has a feature (index:value)", spec.path);
  }

  bool next(std::string_view& line) {
    while (lines_.next(line)) {
      line = trimmed(line.substr(0, line.find('#')));
      if (!line.empty()) return true;
    }
    return false;
  }

  /// Calls take(index, value) for each feature; returns whether there is a label.
  template <class Take>
  bool parse(std::string_view line, double* label, Take&& take) {
    bool labelled = false;
    Index last = -1;
    for (Index word = 1; !line.empty(); ++word) {
      const auto end = std::min(line.find_first_of(" \t"), line.size());
      const std::string_view text = line.substr(0, end);
      line = trimmed(line.substr(end));
      const auto colon = text.find(':');
      if (word == 1 && colon == std::string_view::npos) {
        const double value = is_missing(text)
                                 ? std::numeric_limits<double>::quiet_NaN()
                                 : number_at(lines_.path(), lines_.number(), word, text);
        if (label != nullptr) *label = value;
        labelled = true;
        continue;
      }
      if (text.starts_with("qid:") && last < 0) {
        queries_ = true;
        continue;
      }
      const Index index = index_at(text.substr(0, colon), text, word, last);
      last = index;
      take(index, number_at(lines_.path(), lines_.number(), word, text.substr(colon + 1)));
    }
    return labelled;
  }

  /// The index of a feature, which comes after `last` (-1: none yet).
  Index index_at(std::string_view digits, std::string_view text, Index word, Index last) const {
    const auto index = parse_whole(digits);
    if (digits.size() == text.size() || !index)
      throw InputError("{}: row {}, column {} (counted from 1): {} is not of the form index:value",
                       lines_.path(), lines_.number(), word, quoted(text));
    if (*index < 0 || *index > kLargestIndex)
      throw InputError("{}: row {}, column {} (counted from 1): index {}: 0 to {} can be read",
                       lines_.path(), lines_.number(), word, *index, kLargestIndex);
    if (*index <= last)
      throw InputError(
          "{}: row {}, column {} (counted from 1): index {} after {}: indices must increase",
          lines_.path(), lines_.number(), word, *index, last);
    return *index;
  }

  LineReader lines_;
  Contents contents_;
  Index base_ = 1, next_ = 0;
  bool labelled_ = true, queries_ = false;
};

}  // namespace

std::unique_ptr<Reader> open_libsvm(const Spec& spec, const Request& request) {
  return std::make_unique<LibsvmReader>(spec, request);
}

}  // namespace mercer::data
