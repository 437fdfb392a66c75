#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "mercer/arch/architecture.hpp"

namespace mercer::arch {
namespace {

std::string message(std::string_view text, const Options& options = {}) {
  try {
    (void)parse(text, options);
  } catch (const InputError& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    return error.what();
  }
  return "accepted";
}

TEST(Architecture, PrintsItselfInCanonicalForm) {
  const std::pair<const char*, const char*> cases[] = {
      {"dense", "dense"},
      {"  dense( 1024 )relu\n\tdense(1) ", "dense(1024) relu dense(1)"},
      {"dense leaky_relu(0.20) dense", "dense leaky_relu(0.2) dense"},
      {"dense abrelu( -.5 , +1.50 ) dense", "dense abrelu(-0.5,1.5) dense"},
      {"dense erf dense erf(0.8,1.7) dense", "dense erf dense erf(0.8,1.7) dense"},
      {"dense sin(1e0,1,-0) dense", "dense sin(1,1,0) dense"},
      {"dense gelu dense tanh dense softplus dense sigmoid dense",
       "dense gelu dense tanh dense softplus dense sigmoid dense"},
      {"dense(8) res ( relu dense(8) ) relu dense",
       ""},  // a blank before the parenthesis is an error
      {"dense(8) res( relu dense(8) res(relu dense)) relu dense",
       "dense(8) res(relu dense(8) res(relu dense)) relu dense"},
      {"dense relu res(dense relu) dense", "dense relu res(dense relu) dense"},
      {"dense( 64 ) relu dense( 1 , fixed )", "dense(64) relu dense(1,fixed)"},
      {"dense(fixed) relu dense", "dense(fixed) relu dense"}};
  for (const auto& [text, canonical] : cases) {
    if (*canonical == 0) {
      EXPECT_NE(message(text), "accepted");
      continue;
    }
    EXPECT_EQ(parse(text).text(), canonical);
    EXPECT_EQ(parse(parse(text).text()).text(), canonical);
  }
}

TEST(Architecture, OfImagesPrintsItselfInCanonicalForm) {
  const std::pair<const char*, const char*> cases[] = {
      {"conv( 3 , 64 ) relu flatten dense(10)", "conv(3,64) relu flatten dense(10)"},
      {"conv(3x3) relu gap dense", "conv(3) relu gap dense"},
      {"conv(3x5,8,stride=2,pad=valid,fixed) gelu avgpool(2x2) avgpool(2x1) gap dense",
       "conv(3x5,8,pad=valid,stride=2,fixed) gelu avgpool(2) avgpool(2x1) gap dense"},
      {"conv(3,pad=circular,stride=1) res(relu conv(3,pad=circular)) relu gap dense relu dense",
       "conv(3,pad=circular) res(relu conv(3,pad=circular)) relu gap dense relu dense"},
      {" lenet5 ",
       "conv(5,6) relu avgpool(2) conv(5,16,pad=valid) relu avgpool(2) flatten dense(120) relu "
       "dense(84) relu dense(10)"},
      {"myrtle5",
       "conv(3) relu conv(3) relu avgpool(2) conv(3) relu avgpool(2) conv(3) relu avgpool(2) "
       "avgpool(2) avgpool(2) flatten dense(10)"}};
  for (const auto& [text, canonical] : cases) {
    EXPECT_EQ(parse(text).text(), canonical);
    EXPECT_EQ(parse(canonical).text(), canonical);
    EXPECT_TRUE(parse(text).of_images());
  }
  EXPECT_FALSE(parse("dense relu dense").of_images());
  const auto lenet = parse("lenet5");
  EXPECT_EQ(lenet.depth(), 4);
  EXPECT_TRUE(lenet.has_widths());
  EXPECT_FALSE(parse("myrtle10").has_widths());
  EXPECT_EQ(lenet.without_widths().text(),
            "conv(5) relu avgpool(2) conv(5,pad=valid) relu avgpool(2) flatten dense relu dense "
            "relu dense");
}

TEST(Architecture, ChecksTheShapeOfTheImagesAtTheToken) {
  const auto on = [](const char* text, const char* image) {
    try {
      return "image " + parse(text).on(parse_image(image)).image.text();
    } catch (const InputError& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(on("lenet5", "28x28x1"), "image 28x28x1");
  EXPECT_EQ(on("myrtle10", "32x32x3"), "image 32x32x3");
  EXPECT_EQ(on("conv(3) relu conv(3,stride=2) gap dense", "17x2"), "image 17x2");
  EXPECT_EQ(on("dense relu dense", "28x28x1"), "image 0x0x0");  // of rows
  const std::tuple<const char*, const char*, const char*> refused[] = {
      {"lenet5", "6x6x1", "'conv(5,16,pad=valid)' at character 27: the filter is larger than"},
      {"conv(3) relu avgpool(2) gap dense", "9x8x1",
       "'avgpool(2)' at character 14: the windows do not divide the image, 9 x 8"},
      {"conv(4) relu gap dense", "8x8x1", "'conv(4)' at character 1: a filter with an even size"},
      {"conv(9,pad=circular) gap dense", "8x8x1", "the filter is larger than the image, 8 x 8"},
      {"conv(3) res(relu conv(3,pad=valid)) gap dense", "8x8x1",
       "'res(' at character 9: this res( ) adds 6 x 6 pixels to 8 x 8"},
      {"conv(3x3) gap dense", "17x2", "'conv(3x3)' at character 1: signals take one number: 3"}};
  for (const auto& [text, image, words] : refused)
    EXPECT_NE(on(text, image).find(words), std::string::npos) << on(text, image);
  EXPECT_NE(message("conv(3) gap dense").find("accepted"), std::string::npos);
  try {
    (void)parse("conv(3) gap dense").on({});
    FAIL();
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("give `image`, height x width x channels"),
              std::string::npos);
  }
  for (const char* text : {"", "28", "28x28x1x1", "0x28x1", "28x28x", "28X28X1", "-1x2", "28x28xa"})
    EXPECT_THROW((void)parse_image(text), InputError) << text;
  for (const Image& image : {Image{6, -6, 2}, Image{6, 0, 2}, Image{6, 6, 0}, Image{-1, 6, 2},
                             Image{Index{1} << 32, Index{1} << 32, 1}, Image{6, 2, 1, true}})
    EXPECT_THROW((void)parse("conv(3) gap dense").on(image), InputError) << image.text();
  const auto wide = on("conv(1,100000000000000000) relu conv(3,1) relu flatten dense", "6x6x1");
  EXPECT_NE(wide.find("too many units"), std::string::npos) << wide;
  const auto deep = on("conv(1,100000000000) relu conv(65535x65535,1) relu gap dense", "6x6x1");
  EXPECT_NE(deep.find("'conv(65535x65535,1)'"), std::string::npos) << deep;
  EXPECT_EQ(parse_image("128x2").text(), "128x2");
  EXPECT_TRUE(parse_image("128x2").signal);
}

TEST(Architecture, KnowsParametersWidthsAndDepth) {
  const Architecture net = parse("dense(4) abrelu(-0.5,1.5) dense(3) sin(2,3,0.25) dense(1)");
  ASSERT_EQ(net.layers.size(), 5u);
  EXPECT_EQ(std::get<Dense>(net.layers[0].what).width, 4);
  const auto& rectifier = std::get<Activation>(net.layers[1].what);
  EXPECT_EQ(rectifier.function, Function::rectifier);
  EXPECT_EQ(rectifier.a, -0.5);
  EXPECT_EQ(rectifier.b, 1.5);
  const auto& sine = std::get<Activation>(net.layers[3].what);
  EXPECT_EQ(sine.a, 2);
  EXPECT_EQ(sine.b, 3);
  EXPECT_EQ(sine.c, 0.25);
  EXPECT_EQ(net.layers[3].token, "sin(2,3,0.25)");
  EXPECT_EQ(net.layers[3].position, 35);
  EXPECT_EQ(net.depth(), 2);
  EXPECT_TRUE(net.has_widths());
  EXPECT_FALSE(parse("dense(4) res(relu dense) relu dense(1)").has_widths());
  EXPECT_EQ(parse("dense").depth(), 0);
  EXPECT_EQ(net.weight_std, std::sqrt(2.0));
  EXPECT_EQ(net.bias_std, 0);
}

TEST(Architecture, KnowsWhichLayersAreTrained) {
  const Architecture net = parse("dense(4) res(relu dense(4,fixed)) relu dense(1)");
  EXPECT_TRUE(std::get<Dense>(net.layers[0].what).trained);
  const auto& branch = std::get<Residual>(net.layers[1].what).branch;
  EXPECT_FALSE(std::get<Dense>(branch[1].what).trained);
  EXPECT_EQ(net.without_widths().text(), "dense res(relu dense(fixed)) relu dense");
  EXPECT_EQ(net.first_trained().text(), "dense(4) res(relu dense(4,fixed)) relu dense(1,fixed)");
  EXPECT_EQ(net.all_trained().text(), "dense(4) res(relu dense(4)) relu dense(1)");
}

TEST(Architecture, EveryMistakeIsNamedWithItsTokenAndItsPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "no layers; e.g. dense relu dense"},
      {"   ", "no layers; e.g. dense relu dense"},
      {"dense relx dense", "'relx' at character 7: unknown layer; known are dense(w), relu"},
      {"dense, relu", "',' at character 6: expected a layer"},
      {"dense Relu dense", "'Relu' at character 7: unknown layer"},
      {"lenet", "for a whole network lenet5, myrtle5"},
      {"lenet5 dense", "'lenet5' at character 1: this is the name of a whole network"},
      {"conv(3,pad=same,pad=valid) gap dense", "character 1: pad is given twice"},
      {"conv(3,stride=2,stride=2) gap dense", "character 1: stride is given twice"},
      {"conv(65537) gap dense", "character 1: at most 65535 pixels"},
      {"conv(3,stride=9223372036854775807) gap dense", "character 1: at most 65535 pixels"},
      {"conv(3) relu avgpool(2x99999999999) gap dense", "character 14: at most 65535 pixels"},
      {"dense() relu dense", "'dense()' at character 1: dense takes its width, and \"fixed\""},
      {"dense(3,4) relu dense", "'dense(3,4)' at character 1: dense takes its width"},
      {"dense(3,4,fixed) relu dense", "'dense(3,4,fixed)' at character 1: dense takes its width"},
      {"dense(fixed,3) relu dense", "'dense(fixed,3)' at character 1: dense takes its width"},
      {"dense(fixed) relu dense(1,fixed)",
       "'dense(1,fixed)' at character 19: every layer of weights is fixed"},
      {"dense(0) relu dense",
       "'dense(0)' at character 1: the width of dense must be a whole number"},
      {"dense(2.5) relu dense", "'dense(2.5)' at character 1: the width of dense must be a whole"},
      {"dense(99999999999999999999) relu dense", "the width of dense must be a whole number"},
      {"dense(-1) dense", "'dense(-1)' at character 1: the width of dense must be a whole number"},
      {"dense(4 relu dense", "'(' at character 6: this parenthesis is never closed"},
      {"dense relu(1) dense", "'relu(1)' at character 7: relu takes no parameters"},
      {"dense relu() dense", "'relu()' at character 7: relu takes no parameters"},
      {"dense leaky_relu dense", "'leaky_relu' at character 7: leaky_relu takes one parameter"},
      {"dense abrelu(1) dense", "'abrelu(1)' at character 7: abrelu takes two parameters"},
      {"dense abrelu(0,0) dense", "one parameter of abrelu must not be 0"},
      {"dense erf(1) dense", "'erf(1)' at character 7: erf takes no parameters or two"},
      {"dense erf(1,0) dense", "the parameters of erf must not be 0"},
      {"dense sin dense", "'sin' at character 7: sin takes three parameters"},
      {"dense sin(1,0,0) dense", "the parameters a and b of sin must not be 0"},
      {"dense gelu(2) dense", "gelu takes no parameters"},
      {"dense sin(1,x,0) dense", "'sin(1,x,0)' at character 7: \"x\" is not a finite number"},
      {"dense leaky_relu(nan) dense", "\"nan\" is not a finite number"},
      {"dense leaky_relu(inf) dense", "\"inf\" is not a finite number"},
      {"dense leaky_relu(1e999) dense", "\"1e999\" is not a finite number"},
      {"dense abrelu(1,) dense", "\"\" is not a finite number"},
      {"relu dense", "'relu' at character 1: an activation needs Gaussian units before it: start"},
      {"dense relu relu dense", "'relu' at character 12: an activation needs Gaussian units"},
      {"dense relu res(dense relu) relu dense", "'relu' at character 28: an activation needs"},
      {"dense relu res(dense) relu dense", "'relu' at character 23: an activation needs Gaussian"},
      {"dense relu res(relu dense) dense", "'relu' at character 16: an activation needs Gaussian"},
      {"res(dense) dense", "'res(' at character 1: res( ) cannot come before the first dense"},
      {"dense res() dense", "'res(' at character 7: this res( ) is empty"},
      {"dense res dense", "'res' at character 7: res needs its branch"},
      {"dense res(relu) dense",
       "'res(' at character 7: the branch of this res( ) has no dense or conv of its own"},
      {"dense res(res(dense)) dense",
       "'res(' at character 7: the branch of this res( ) has no dense or"},
      {"dense res(relu dense", "'res(' at character 7: this parenthesis is never closed"},
      {"dense relu) dense", "')' at character 11: no parenthesis is open here"},
      {"dense(8) res(relu dense(4)) relu dense",
       "this res( ) adds 4 units to 8: the widths must agree"},
      {"dense relu", "'relu' at character 7: an architecture ends in dense"},
      {"dense res(relu dense)", "'res(' at character 7: an architecture ends in dense"},
      {"conv relu flatten dense", "'conv' at character 1: conv takes its filter, and where"},
      {"conv(0,4) flatten dense", "'conv(0,4)' at character 1: conv takes its filter"},
      {"conv(3x,4) flatten dense", "'conv(3x,4)' at character 1: conv takes its filter"},
      {"conv(3,pad=valid,4) flatten dense", "conv takes its filter"},
      {"conv(3,4,pad=none) flatten dense", "conv takes its filter"},
      {"conv(3,4,stride=0) flatten dense", "conv takes its filter"},
      {"dense conv(3,4) flatten dense", "'conv(3,4)' at character 7: a conv needs pixels"},
      {"conv(3) flatten conv(3) gap dense", "'conv(3)' at character 17: a conv needs pixels"},
      {"conv(3) dense", "'dense' at character 9: a dense takes one row: put flatten or gap before"},
      {"gap conv(3) dense", "'gap' at character 1: this needs pixels: start with a conv"},
      {"dense flatten dense", "'flatten' at character 7: this needs pixels: it comes before"},
      {"dense avgpool(2) dense", "'avgpool(2)' at character 7: this needs pixels: it comes before"},
      {"conv(3) flatten avgpool(2) dense", "this needs pixels: it comes before flatten"},
      {"conv(3) avgpool gap dense", "avgpool takes its window: avgpool(2) or avgpool(2x3)"},
      {"conv(3) gap(2) dense", "'gap(2)' at character 9: gap takes no parameters"},
      {"conv(3) relu", "'relu' at character 9: an architecture ends in dense"},
      {"conv(3) flatten relu dense", "'relu' at character 17: an activation needs Gaussian units"},
      {"conv(3) flatten res(dense) dense", "or right after flatten or gap"},
      {"conv(3) res(relu conv(3) gap) dense", "'gap' at character 26: a res( ) keeps the pixels"},
      {"conv(3) res(relu conv(3) avgpool(2)) gap dense", "a res( ) keeps the pixels"},
      {"conv(3) res(relu conv(3) relu conv(3,pad=circular)) gap dense",
       "'res(' at character 9: the convolutions of a res( ) must all be circular, or none"},
      {"conv(3,4) res(relu conv(3,8)) gap dense", "this res( ) adds 8 units to 4"},
      {"conv(3,fixed) relu flatten dense(fixed)", "every layer of weights is fixed"}};
  for (const auto& [text, expected] : cases) {
    const std::string what = message(text);
    EXPECT_NE(what.find(expected), std::string::npos) << text << "\n  gave: " << what;
    EXPECT_NE(what.find(fmt::format("architecture \"{}\"", text)), std::string::npos) << what;
    EXPECT_EQ(what.find('\n'), std::string::npos);
  }
}

TEST(Architecture, RefusesDeviationsThatMakeNoNetwork) {
  for (const double bad : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    Options options;
    options.weight_std = bad;
    EXPECT_NE(message("dense", options).find("weight_std"), std::string::npos) << bad;
  }
  for (const double bad : {-1.0, std::nan(""), HUGE_VAL}) {
    Options options;
    options.bias_std = bad;
    EXPECT_NE(message("dense", options).find("bias_std"), std::string::npos) << bad;
  }
}

TEST(Architecture, WeightStdAutoKeepsTheSecondMomentOfUnitGaussianInput) {
  Options options;
  options.weight_std_auto = true;
  options.weight_std = 77;
  EXPECT_DOUBLE_EQ(parse("dense relu dense relu dense", options).weight_std, std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(parse("dense dense", options).weight_std, 1);
  for (const char* token : {"leaky_relu(0.2)", "abrelu(-0.5,1.5)", "erf", "erf(0.8,1.7)", "gelu",
                            "sin(1.3,0.7,0.4)", "tanh", "softplus", "sigmoid"}) {
    const Architecture net = parse(fmt::format("dense {} dense", token), options);
    const auto& rho = std::get<Activation>(net.layers[1].what);
    double moment = 0;  // Simpson's rule on each side of the kink at 0
    const int n = 20000;
    for (int k = -n; k <= n; ++k) {
      const double z = 12.0 * k / n, v = value(rho, z);
      const double weight = k == -n || k == n ? 1 : k == 0 ? 2 : k % 2 ? 4 : 2;
      moment += weight * v * v * std::exp(-z * z / 2);
    }
    moment *= 12.0 / n / 3 / std::sqrt(2 * 3.14159265358979323846);
    EXPECT_NEAR(net.weight_std * net.weight_std * moment, 1, 1e-12) << token;
  }
  EXPECT_NE(message("dense relu dense tanh dense", options).find("'tanh' at character 18"),
            std::string::npos);
  EXPECT_NE(message("dense res(erf dense) relu dense", options).find("'relu' at character 22"),
            std::string::npos);
}

/// dense, then `depth` res( ) inside one another, then a readout.
std::string nested(Index depth, const std::string& open = "res(relu dense ") {
  std::string text = "dense ";
  for (Index i = 0; i < depth; ++i) text += open;
  return text + std::string(static_cast<std::size_t>(depth), ')') + " relu dense";
}

TEST(Architecture, IsNestedAsDeepAsItSaysAndNoDeeper) {
  const Architecture deepest = parse(nested(kMostNested));
  EXPECT_EQ(parse(deepest.text()).text(), deepest.text());
  EXPECT_FALSE(deepest.has_widths());
  EXPECT_EQ(deepest.without_widths().text(), deepest.text());
  Options options;
  options.weight_std_auto = true;
  EXPECT_NEAR(parse(nested(kMostNested), options).weight_std, std::sqrt(2), 1e-12);
  const Architecture copy = deepest;
  EXPECT_EQ(copy.text(), deepest.text());

  for (const Index depth : {kMostNested + 1, Index{20000}, Index{300000}})
    for (const std::string open :
         {"res(relu dense ", "res(dense ", "res(", "res(relu dense res("}) {
      const std::string text = message(nested(depth, open));
      const auto said = fmt::format(": nested too deep: at most {} res( )", kMostNested);
      EXPECT_NE(text.find("'res(' at character "), std::string::npos) << text;
      EXPECT_NE(text.find(said), std::string::npos) << text;
      EXPECT_LT(text.size(), 500u);
    }
  // The token that is too deep is the one that is pointed at.
  const Index at = 6 + 15 * kMostNested + 1;
  EXPECT_NE(message(nested(kMostNested + 1)).find(fmt::format("at character {}:", at)),
            std::string::npos);
}

TEST(Architecture, AMessageQuotesWhatLiesAroundTheToken) {
  std::string text = "dense";
  for (int i = 0; i < 5000; ++i) text += " relu dense";
  const std::string said = message(text + " relx dense");
  EXPECT_NE(said.find("relu dense relx dense\": 'relx' at character 55007"), std::string::npos)
      << said;
  EXPECT_LT(said.size(), 600u);
  EXPECT_NE(message("relx " + text).find("\"relx dense relu"), std::string::npos);
}

TEST(FullyConnected, IsTheTextThatItStandsFor) {
  EXPECT_EQ(fully_connected(0, "relu").text(), "dense");
  EXPECT_EQ(fully_connected(3, "relu").text(), "dense relu dense relu dense relu dense");
  EXPECT_EQ(fully_connected(1, "erf(1, 2)").text(), "dense erf(1,2) dense");
  Options options;
  options.bias_std = 0.5;
  EXPECT_EQ(fully_connected(2, "gelu", options).bias_std, 0.5);
  EXPECT_THROW((void)fully_connected(-1, "relu"), InputError);
  EXPECT_THROW((void)fully_connected(1, "relux"), InputError);
  EXPECT_THROW((void)fully_connected(1, ""), InputError);
  EXPECT_THROW((void)fully_connected(1, "relu dense relu"), InputError);
}

TEST(Activation, ValuesAreThoseOfTheFormulas) {
  const auto rho = [](const char* token) {
    return std::get<Activation>(parse(fmt::format("dense {} dense", token)).layers[1].what);
  };
  EXPECT_EQ(value(rho("relu"), -2), 0);
  EXPECT_EQ(value(rho("leaky_relu(0.2)"), -2), -0.4);
  EXPECT_EQ(value(rho("abrelu(-0.5,1.5)"), 2), 3);
  EXPECT_DOUBLE_EQ(value(rho("erf(0.8,1.7)"), 0.3), 0.8 * std::erf(0.51));
  EXPECT_DOUBLE_EQ(value(rho("gelu"), 1), 0.5 * (1 + std::erf(std::sqrt(0.5))));
  EXPECT_DOUBLE_EQ(value(rho("sin(2,3,0.25)"), 0.5), 2 * std::sin(1.75));
  EXPECT_DOUBLE_EQ(value(rho("tanh"), 0.7), std::tanh(0.7));
  EXPECT_DOUBLE_EQ(value(rho("softplus"), 1), std::log(1 + std::exp(1.0)));
  EXPECT_DOUBLE_EQ(value(rho("softplus"), 1000), 1000);
  EXPECT_DOUBLE_EQ(value(rho("sigmoid"), -2), 1 / (1 + std::exp(2.0)));
  EXPECT_EQ(value(rho("sigmoid"), -1e5), 0);
}

}  // namespace
}  // namespace mercer::arch
