// Renders prompts as Ollama does: the TEMPLATE of a Modelfile by Go's text/template, with the same
// functions, options and types behind the fields (template/template.go and api/types.go of
// github.com/ollama/ollama, August 2026). Reads one JSON object, writes a JSON list of prompts.
package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

// Types is one JSON type, or several.
type Types []string

func (t *Types) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = Types{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}

func (t Types) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

type Property struct {
	Type        Types  `json:"type"`
	Items       any    `json:"items"`
	Description string `json:"description"`
	Enum        []any  `json:"enum"`
}

type Parameters struct {
	Type       string              `json:"type"`
	Required   []string            `json:"required"`
	Properties map[string]Property `json:"properties"`
}

type Function struct {
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Parameters  Parameters `json:"parameters"`
}

type Tool struct {
	Type     string   `json:"type"`
	Function Function `json:"function"`
}

// Arguments are a type of their own in Ollama, too.
type Arguments map[string]any

type Call struct {
	Function struct {
		Name      string    `json:"name"`
		Arguments Arguments `json:"arguments"`
	} `json:"function"`
}

type Message struct {
	Role      string `json:"role"`
	Content   string `json:"content"`
	ToolCalls []Call `json:"tool_calls"`
}

type Talk struct {
	Messages []Message `json:"messages"`
	Tools    []Tool    `json:"tools"`
}

// collate gathers system messages, and joins neighbours of one role unless they are of tools.
func collate(messages []Message) (string, []*Message) {
	var system []string
	var joined []*Message
	for i := range messages {
		message := &messages[i]
		if message.Role == "system" {
			system = append(system, message.Content)
		}
		last := len(joined) - 1
		if last >= 0 && joined[last].Role == message.Role && message.Role != "tool" {
			joined[last].Content += "\n\n" + message.Content
		} else {
			joined = append(joined, message)
		}
	}
	return strings.Join(system, "\n\n"), joined
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	var asked struct {
		Modelfile string `json:"modelfile"`
		Talks     []Talk `json:"talks"`
	}
	check(json.NewDecoder(os.Stdin).Decode(&asked))
	_, text, found := strings.Cut(asked.Modelfile, "\nTEMPLATE \"\"\"")
	text, _, closed := strings.Cut(text, "\"\"\"\n")
	if !found || !closed {
		panic("no TEMPLATE in three quotes")
	}
	functions := template.FuncMap{"json": func(value any) string {
		written, _ := json.Marshal(value)
		return string(written)
	}}
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(text)
	check(err)
	prompts := []string{}
	for _, talk := range asked.Talks {
		system, messages := collate(talk.Messages)
		var prompt strings.Builder
		check(parsed.Execute(&prompt, map[string]any{
			"System": system, "Messages": messages, "Tools": talk.Tools, "Response": "",
		}))
		prompts = append(prompts, prompt.String())
	}
	check(json.NewEncoder(os.Stdout).Encode(prompts))
}
