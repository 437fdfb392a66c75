#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "mercer/base/error.hpp"

namespace mercer::test {

/// The text of the E that `call` throws on this rank; "" if it throws none.
template <class E, class Call>
std::string error(Call&& call) {
  try {
    call();
  } catch (const E& thrown) {
    return thrown.what();
  }
  return "";
}

/// The text of the InputError that `call` throws, "" if it throws none. One line, or the test
/// fails.
template <class Call>
std::string input_error(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "";
}

/// Fails unless `text` has each of the words.
inline void expect_words(const std::string& text, const std::vector<std::string>& words) {
  for (const std::string& word : words)
    EXPECT_TRUE(text.find(word) != std::string::npos) << text << ": without " << word;
}

}  // namespace mercer::test
