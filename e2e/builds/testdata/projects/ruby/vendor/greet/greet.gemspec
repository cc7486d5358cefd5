Gem::Specification.new do |s|
  s.name = "greet"
  s.version = "1.0"
  s.summary = "What a service says"
  s.authors = ["Ada"]
  s.files = ["lib/greet.rb"]
end
