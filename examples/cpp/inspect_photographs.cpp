// Inspect photographs with an exported detector; needs ONNX Runtime and libpng.
//
//     inspect_photographs DETECTOR.onnx PHOTOGRAPH.png...
//
// Prints a line of JSON for each photograph. Statuses: 0 all are good, 1 one is anomalous, 2 an
// error.

#include <onnxruntime_cxx_api.h>
#include <png.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

struct Photograph {
    std::int64_t height = 0, width = 0;
    std::vector<std::uint8_t> pixels;  // height x width x 3: red, green, blue
};

[[noreturn]] void stop(png_structp png, png_const_charp message) {
    std::cerr << static_cast<const char*>(png_get_error_ptr(png)) << ": " << message << "\n";
    std::exit(2);  // an exception cannot pass through libpng, which is C
}

// Exif data name the orientation, tag 0x0112: 1 is upright, 2 to 8 are not.
bool is_turned(png_structp png, png_infop info) {
    png_uint_32 size = 0;
    png_bytep bytes = nullptr;
    if (!png_get_eXIf_1(png, info, &size, &bytes)) return false;
    const std::string exif(bytes, bytes + size);
    for (char turned = 2; turned <= 8; ++turned) {
        const std::string little = std::string("\x12\1\3\0\1\0\0\0", 8) + turned;
        const std::string big = std::string("\1\x12\0\3\0\0\0\1\0", 9) + turned;
        if (exif.find(little) != exif.npos || exif.find(big) != exif.npos) return true;
    }
    return false;
}

// libpng's shorter interface would change the colours of files that state a gamma.
Photograph read_png(const char* name) {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(name, "rb"), std::fclose);
    if (!file) throw std::runtime_error(std::string(name) + ": " + std::strerror(errno));
    png_structp png = png_create_read_struct(
        PNG_LIBPNG_VER_STRING, const_cast<char*>(name), stop, nullptr);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, file.get());
    png_read_png(png, info, PNG_TRANSFORM_EXPAND | PNG_TRANSFORM_GRAY_TO_RGB, nullptr);
    if (png_get_bit_depth(png, info) != 8)
        png_error(png, "expected 8 bits a channel, got 16; shift them as bit_depth says");
    if (is_turned(png, info))
        png_error(png, "expected an upright photograph, got one to be turned; turn its pixels");
    Photograph photograph;
    photograph.height = png_get_image_height(png, info);
    photograph.width = png_get_image_width(png, info);
    photograph.pixels.reserve(3 * photograph.height * photograph.width);
    const int channels = png_get_channels(png, info);
    png_bytepp rows = png_get_rows(png, info);
    for (std::int64_t row = 0; row < photograph.height; ++row)
        for (std::int64_t column = 0; column < photograph.width; ++column) {
            const png_bytep pixel = rows[row] + channels * column;
            const int opacity = channels == 4 ? pixel[3] : 255;  // on black, as the detector does
            for (int channel = 0; channel < 3; ++channel)
                photograph.pixels.push_back((pixel[channel] * opacity + 127) / 255);
        }
    png_destroy_read_struct(&png, &info, nullptr);
    return photograph;
}

bool inspect(Ort::Session& session, const char* name) {
    Photograph photograph = read_png(name);
    const std::array<std::int64_t, 4> shape = {1, photograph.height, photograph.width, 3};
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const auto input = Ort::Value::CreateTensor<std::uint8_t>(
        memory, photograph.pixels.data(), photograph.pixels.size(), shape.data(), shape.size());
    const char* inputs[] = {"photographs"};
    // "anomaly_map" (float) and "regions" (bool), both height x width, are there as well.
    const char* outputs[] = {"score", "p_value", "is_anomalous"};
    const auto found = session.Run(Ort::RunOptions{}, inputs, &input, 1, outputs, 3);
    const float score = *found[0].GetTensorData<float>();
    if (std::isnan(score))  // the network's crop, or the region of interest, lies beyond it
        throw std::runtime_error(
            std::string(name) + ": expected the shape of learned photographs, got " +
            std::to_string(photograph.width) + " x " + std::to_string(photograph.height) +
            "; cut it likewise");
    const bool is_anomalous = *found[2].GetTensorData<bool>();
    std::cout << "{\"score\": " << score
              << ", \"p_value\": " << *found[1].GetTensorData<float>()
              << ", \"is_anomalous\": " << (is_anomalous ? "true" : "false") << "}" << std::endl;
    return is_anomalous;
}

int main(int n_arguments, char** arguments) {
    if (n_arguments < 3) {
        std::cerr << "usage: inspect_photographs DETECTOR.onnx PHOTOGRAPH.png...\n";
        return 2;
    }
    try {
        std::cout.precision(std::numeric_limits<float>::max_digits10);
        Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "inspect_photographs");
        Ort::Session session(environment, arguments[1], Ort::SessionOptions{});
        bool any_anomalous = false;
        for (int number = 2; number < n_arguments; ++number)
            any_anomalous |= inspect(session, arguments[number]);
        return any_anomalous ? 1 : 0;
    } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
        return 2;
    }
}
